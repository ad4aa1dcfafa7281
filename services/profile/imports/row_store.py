"""What became of rows: what is wrong with them, and what they would do."""

from collections.abc import Iterable, Sequence

import msgspec

from services.profile.imports.domain import Fault
from shared.db import Tx, copy, execute, fetch

_SHOWN = "SELECT count(*) AS shown FROM import_differences WHERE import_id = :id"
_DIFFERENCES = "SELECT body FROM import_differences WHERE import_id = :id ORDER BY row"
_FAULTS = """
SELECT row, position, customer_id, code, pointer, detail, record FROM import_faults
WHERE import_id = :id AND (row, position) > (:row, :position) ORDER BY row, position LIMIT :limit
"""
# Few imports keep records of failed rows, and those for some weeks.
_WITH_NAMELESS = """
SELECT import_id FROM imports AS i
WHERE wrapped IS NOT NULL AND EXISTS (
    SELECT 1 FROM import_faults AS f
    WHERE f.import_id = i.import_id AND f.customer_id IS NULL AND f.record IS NOT NULL)
ORDER BY import_id
"""
_NAMELESS = """
SELECT row, record FROM import_faults
WHERE import_id = :id AND row > :after AND customer_id IS NULL AND record IS NOT NULL ORDER BY row LIMIT :limit
"""
_DROP_RECORDS = "UPDATE import_faults SET record = NULL WHERE import_id = :id AND row = ANY(:rows)"


class FaultRow(msgspec.Struct, frozen=True):
    """A fault of a row; ``record`` is sealed."""

    row: int
    position: int
    customer_id: str | None
    code: str
    pointer: str
    detail: str
    record: bytes | None


async def add_faults(
    tx: Tx, import_id: str, found: Iterable[tuple[int, str | None, Sequence[Fault], bytes | None]]
) -> None:
    """Keeps what is wrong with rows: number, customer, faults, the sealed record."""
    rows = [
        (
            import_id,
            row,
            place,
            None if record is None else customer,
            fault.code,
            fault.pointer,
            fault.detail[:500],
            None if place else record,
        )
        for row, customer, faults, record in found
        for place, fault in enumerate(faults)
    ]  # fmt: skip
    names = ("import_id", "row", "position", "customer_id", "code", "pointer", "detail", "record")
    if rows:
        await copy(tx, "import_faults", names, rows)


async def faults(tx: Tx, import_id: str, after: tuple[int, int] | None, limit: int) -> list[FaultRow]:
    """What is wrong with rows, in their order."""
    row, position = after or (0, -1)
    found = await fetch(tx, _FAULTS, id=import_id, row=row, position=position, limit=limit)
    return [FaultRow(**one) for one in found]


async def with_nameless(tx: Tx) -> list[str]:
    """Imports that keep records of failed rows which name no customer."""
    return [row["import_id"] for row in await fetch(tx, _WITH_NAMELESS)]


async def nameless(tx: Tx, import_id: str, after: int, limit: int) -> list[tuple[int, bytes]]:
    """Such rows by number, from after a row on, each with its sealed record."""
    found = await fetch(tx, _NAMELESS, id=import_id, after=after, limit=limit)
    return [(row["row"], row["record"]) for row in found]


async def drop_records(tx: Tx, import_id: str, rows: Sequence[int]) -> None:
    """What these rows said is forgotten; what was wrong with them stays."""
    if rows:
        await execute(tx, _DROP_RECORDS, id=import_id, rows=list(rows))


async def shown(tx: Tx, import_id: str) -> int:
    """How many differences are kept already."""
    count: int = (await fetch(tx, _SHOWN, id=import_id))[0]["shown"]
    return count


async def add_differences(tx: Tx, import_id: str, found: Iterable[tuple[int, str, bytes]]) -> None:
    """Keeps what rows would do: number, customer, the sealed difference."""
    rows = [(import_id, *one) for one in found]
    if rows:
        await copy(tx, "import_differences", ("import_id", "row", "customer_id", "body"), rows)


async def differences(tx: Tx, import_id: str) -> list[bytes]:
    """What rows would do, sealed, in their order."""
    return [row["body"] for row in await fetch(tx, _DIFFERENCES, id=import_id)]
