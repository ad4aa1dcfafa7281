"""An import: a file of customers that a job works through, and what became of its rows."""

from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

State = Literal["receiving", "waiting", "running", "done", "reverting", "reverted"]
Format = Literal["csv", "ndjson"]
OPEN: tuple[State, ...] = ("waiting", "running", "reverting")
CHUNK_ROWS = 1000
"""Rows that one transaction works through."""
CHUNK_CHARACTERS = 4 * 1024 * 1024
"""Where rows are long a chunk has fewer: whole chunks stand in memory."""
MAX_BYTES = 256 * 1024 * 1024
MAX_RECORD = 64 * 1024
"""Characters of one row."""
KEPT = timedelta(days=30)
"""How long the records of rows that failed, and the differences of a dry run, are kept after it ended."""
ABANDONED = timedelta(hours=6)
"""An upload that hasn't ended after so long never will."""
SHOWN_DIFFERENCES = 50
ERASED = "customer-erased"
"""The code of a row that names somebody who was erased."""


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was sent, and how far its rows have come. ``columns``: the header of a CSV file."""

    import_id: str
    state: State
    format: Format
    columns: tuple[str, ...]
    name: str | None
    dry_run: bool
    as_of: datetime | None
    content_hash: bytes | None
    bytes: int
    rows: int
    done: int
    created: int
    changed: int
    unchanged: int
    failed: int
    next_chunk: int
    created_by: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    traceparent: str | None
    reverted_by: str | None
    revert_started_at: datetime | None
    revert_ended_at: datetime | None
    removed: int
    restored: int
    kept: int

    @property
    def source(self) -> str:
        """The source that the history of a file names."""
        return source_of(self.import_id)


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a row: ``pointer`` is a JSON pointer into it."""

    code: str
    pointer: str
    detail: str


class Refused(Exception):
    """A row can't be taken. ``customer_id``: whom it means, as far as that can be told."""

    def __init__(self, *faults: Fault, customer_id: str | None = None) -> None:
        super().__init__(faults)
        self.faults, self.customer_id = faults, customer_id


class Unreadable(msgspec.Struct, frozen=True):
    """A record of which no row can be made; ``text`` is what of it can be shown."""

    code: str
    detail: str
    text: str


class FaultyFile(Exception):
    """The file can't be worked through at all: nothing of it is kept."""

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.code, self.detail, self.pointer = code, detail, pointer


class NotRevertible(Exception):
    """This import has nothing that could be taken back."""

    code = "not-revertible"


Record = list[str] | str | Unreadable
"""A record of a CSV file, a line of NDJSON, or what can't be read."""


class Tally(msgspec.Struct):
    """What became of the rows of a chunk."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    failed: int = 0


class Difference(msgspec.Struct, frozen=True):
    """What a row would do: of each field what stands and what it would be."""

    row: int
    customer_id: str
    outcome: Literal["created", "changed"]
    fields: dict[str, tuple[Any, Any]]


class Leftover(msgspec.Struct, frozen=True):
    """What of a customer a revert had to leave."""

    customer_id: str
    code: Literal["touched-since", "consent-withdrawn", "merged-since"]
    detail: str


def source_of(import_id: str) -> str:
    """The source that a file's history names for what an import wrote."""
    return f"import:{import_id}"
