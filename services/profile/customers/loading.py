"""Many files at once, by COPY and by sets: what ``store`` does for one."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec

from services.profile.customers.domain import EDITABLE, OF_THE_ROW, CustomerFile
from services.profile.customers.sealing import SealedPart, SealedPoint
from shared.db import Tx, columns, copy, execute, fetch

Told = tuple[str, str, datetime]
"""A customer, a part of his file, and since when it is true."""

_HOLD = "SELECT customer_id FROM customers WHERE customer_id = ANY(:customers) ORDER BY customer_id FOR UPDATE"
_COLUMNS = (*OF_THE_ROW, *(name for name in EDITABLE if name != "contact_points"))
_LISTS = ("tags", "interests", "special_needs")
_JSON = ("birthday", "wallet_estimate", "anniversaries", "attributes", "team", "said_at")
_TYPES = {
    "version": "integer", "bare": "boolean", "updated_at": "timestamptz", "tenure_start": "timestamptz",
    "preferred_every_days": "integer", "company_size": "integer",
    **dict.fromkeys(_LISTS, "text[]"), **dict.fromkeys(_JSON, "jsonb"),
}  # fmt: skip
_JSON_AT = tuple(map(_COLUMNS.index, _JSON))
_of_file = attrgetter(*_COLUMNS)
_encode = msgspec.json.Encoder().encode
_WRITTEN = tuple(name for name in _COLUMNS if name not in ("customer_id", "created_at"))
_REWRITE = f"""
UPDATE customers AS c SET {", ".join(f"{name} = new.{name}" for name in _WRITTEN)}
FROM jsonb_to_recordset(CAST(:files AS jsonb))
    AS new (customer_id text, {", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in _WRITTEN)})
WHERE c.customer_id = new.customer_id
"""
_DROP_POINTS = "DELETE FROM contact_points WHERE customer_id = ANY(:customers)"
_TOLD = """
SELECT customer_id, field, CAST(value AS text) AS value, sealed, true_at FROM file_fields
JOIN unnest(CAST(:customers AS text[]), CAST(:fields AS text[]), CAST(:at AS timestamptz[]))
    AS asked (customer_id, field, true_at) USING (customer_id, field, true_at)
WHERE starts_with(source, :sources)
"""
_TAKE_BACK = """
DELETE FROM file_fields WHERE customer_id = ANY(:customers) AND source = :source RETURNING customer_id, field
"""
# Backwards along the primary key, a row each.
_STANDING = """
SELECT asked.customer_id, asked.field, CAST(f.value AS text) AS value, f.sealed, f.true_at
FROM unnest(CAST(:customers AS text[]), CAST(:fields AS text[])) AS asked (customer_id, field)
LEFT JOIN LATERAL (SELECT value, sealed, true_at FROM file_fields
                   WHERE customer_id = asked.customer_id AND field = asked.field
                   ORDER BY true_at DESC, id DESC LIMIT 1) AS f ON true
"""
_REMOVE = "DELETE FROM customers WHERE customer_id = ANY(:customers)"


class Standing(msgspec.Struct, frozen=True):
    """A line of a file's history: what was said of a part. Nothing where ``true_at`` is None."""

    customer_id: str
    field: str
    value: str | None
    sealed: bytes | None
    true_at: datetime | None


async def hold(tx: Tx, customers: Sequence[str]) -> None:
    """Locks the files of these customers in the order of their ids, whichever there are."""
    await execute(tx, _HOLD, customers=sorted(customers))


async def add(tx: Tx, files: Iterable[CustomerFile]) -> None:
    """Writes new files. Raises asyncpg.UniqueViolationError where somebody was faster."""
    await copy(tx, "customers", _COLUMNS, [_row(file) for file in files])


async def rewrite(tx: Tx, files: Iterable[CustomerFile]) -> None:
    """Writes files that are locked, without their addresses."""
    said = [{name: getattr(file, name) for name in ("customer_id", *_WRITTEN)} for file in files]
    await execute(tx, _REWRITE, files=msgspec.json.encode(said).decode())


async def put_points(tx: Tx, points: Mapping[str, Sequence[SealedPoint]], replaced: Sequence[str]) -> None:
    """Writes the addresses of files that are locked; of those ``replaced`` in the place of what they have."""
    if replaced:
        await execute(tx, _DROP_POINTS, customers=list(replaced))
    rows = [
        (customer, place, point.kind, point.sealed, point.digest, point.verified)
        for customer, his in points.items()
        for place, point in enumerate(his, 1)
    ]
    if rows:
        await copy(tx, "contact_points", ("customer_id", "position", "kind", "sealed", "digest", "verified"), rows)


async def keep(tx: Tx, said: Iterable[tuple[str, SealedPart, str, datetime, datetime]]) -> None:
    """Adds to the histories of files that are locked: customer, part, source, since when true, when written."""
    rows = [
        (customer, part.field, part.value, part.sealed, source, true_at, recorded_at)
        for customer, part, source, true_at, recorded_at in said
    ]
    names = ("customer_id", "field", "value", "sealed", "source", "true_at", "recorded_at")
    if rows:
        await copy(tx, "file_fields", names, rows)


async def told(tx: Tx, asked: Iterable[Told], sources: str) -> list[Standing]:
    """What sources whose name begins so have told before of these parts as of these instants."""
    customers, fields, at = columns(sorted(asked), 3)
    rows = await fetch(tx, _TOLD, customers=customers, fields=fields, at=at, sources=sources)
    return [Standing(**row) for row in rows]


async def take_back(tx: Tx, customers: Sequence[str], source: str) -> list[Standing]:
    """Takes out of these histories what a source has said; answers the newest of what is left of each part."""
    gone = await fetch(tx, _TAKE_BACK, customers=list(customers), source=source)
    if not gone:
        return []
    who, fields = columns(sorted({(row["customer_id"], row["field"]) for row in gone}), 2)
    return [Standing(**row) for row in await fetch(tx, _STANDING, customers=who, fields=fields)]


async def remove(tx: Tx, customers: Sequence[str]) -> None:
    """Takes files away, with all that hangs on them."""
    await execute(tx, _REMOVE, customers=list(customers))


def _row(file: CustomerFile) -> list[Any]:
    row = list(_of_file(file))
    for place in _JSON_AT:
        if row[place] is not None:
            row[place] = _encode(row[place]).decode()
    return row
