"""Imports as JSON."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from services.profile.imports.domain import Difference, Format, Import, State
from services.profile.imports.row_store import FaultRow

IMPORT: dict[str, Any] = {
    "id": "imp_7f3a",
    "state": "done",
    "format": "csv",
    "name": "members-2026-11.csv",
    "dry_run": False,
    "as_of": "2026-11-20T00:00:00Z",
    "columns": ["customer_id", "name", "email", "tags"],
    "bytes": 4096,
    "rows": 100,
    "done": 100,
    "created": 90,
    "changed": 7,
    "unchanged": 2,
    "failed": 1,
    "rows_per_second": 5400.0,
    "created_by": "staff:7",
    "created_at": "2026-11-21T02:00:00Z",
    "started_at": "2026-11-21T02:00:01Z",
    "ended_at": "2026-11-21T02:00:02Z",
    "same_content_as": None,
    "differences": [],
    "revert": None,
}
FAULT: dict[str, Any] = {
    "row": 17,
    "code": "invalid-contact-point",
    "pointer": "/phone",
    "detail": "not a phone number: too short or too long for its country",
}
LEFTOVER = {
    "customer_id": "web:7",
    "code": "touched-since",
    "detail": "the file stays: something else is known of this customer",
}


class Changed(BaseModel):
    """What of a field a row would change."""

    field: str
    before: Any
    after: Any


class DifferenceView(BaseModel):
    """What a row would do; rows are counted from 1, without the header."""

    row: int
    customer_id: str
    outcome: Literal["created", "changed"]
    fields: list[Changed]


class RevertView(BaseModel):
    """How an import was taken back: customers who are gone, whose files fell back, of whom something had to stay."""

    by: str
    started_at: datetime
    ended_at: datetime | None
    removed: int
    restored: int
    kept: int


class ImportView(BaseModel):
    """An import and how far it has come. `created`, `changed`, `unchanged` and `failed` add up to `done`.

    `differences`: the first that a dry run found. `same_content_as`: an import of the same bytes that stands.
    """

    id: str
    state: State
    format: Format
    name: str | None
    dry_run: bool
    as_of: datetime | None
    columns: list[str]
    bytes: int
    rows: int
    done: int
    created: int
    changed: int
    unchanged: int
    failed: int
    rows_per_second: float | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    same_content_as: str | None = None
    differences: list[DifferenceView] = []
    revert: RevertView | None


class RowFaultView(BaseModel):
    """What is wrong with a row, counted from 1 without the header; `pointer` is a JSON pointer into it."""

    row: int
    code: str
    pointer: str
    detail: str


class LeftoverView(BaseModel):
    """What of a customer a revert had to leave."""

    customer_id: str
    code: Literal["touched-since", "consent-withdrawn", "merged-since"] = Field(
        description="`touched-since`: something else is known of a customer whom the import made. `consent-withdrawn`:"
        " nobody but the customer widens his consent. `merged-since`: a rule joined him to another by an address such"
        " as the import said, and none has spoken for it since before the revert: is it right?"
    )
    detail: str


def import_view(
    job: Import, now: datetime, same: str | None = None, differences: list[Difference] | None = None
) -> ImportView:
    """An import at ``now``."""
    seconds = ((job.ended_at or now) - job.started_at).total_seconds() if job.started_at else 0
    revert = None
    if job.reverted_by is not None and job.revert_started_at is not None:
        revert = RevertView(
            by=job.reverted_by,
            started_at=job.revert_started_at,
            ended_at=job.revert_ended_at,
            removed=job.removed,
            restored=job.restored,
            kept=job.kept,
        )
    return ImportView(
        id=job.import_id,
        state=job.state,
        format=job.format,
        name=job.name,
        dry_run=job.dry_run,
        as_of=job.as_of,
        columns=list(job.columns),
        bytes=job.bytes,
        rows=job.rows,
        done=job.done,
        created=job.created,
        changed=job.changed,
        unchanged=job.unchanged,
        failed=job.failed,
        rows_per_second=round(job.done / seconds, 1) if seconds > 0 else None,
        created_by=job.created_by,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        same_content_as=same,
        differences=[_difference(one) for one in differences or ()],
        revert=revert,
    )


def fault_view(fault: FaultRow) -> RowFaultView:
    """A fault of a row."""
    return RowFaultView(row=fault.row, code=fault.code, pointer=fault.pointer, detail=fault.detail)


def _difference(one: Difference) -> DifferenceView:
    fields = [Changed(field=name, before=before, after=after) for name, (before, after) in one.fields.items()]
    return DifferenceView(row=one.row, customer_id=one.customer_id, outcome=one.outcome, fields=fields)
