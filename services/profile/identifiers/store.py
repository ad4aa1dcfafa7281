"""The identifiers, and whose an identifier or an address is."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import RowMapping

from services.profile.identifiers.domain import Identifier
from shared.db import Tx, fetch

_COLUMNS = "identifier_id, customer_id, kind, value, recorded_at"
_ADD = f"""
INSERT INTO identifiers ({_COLUMNS}) VALUES (:identifier_id, :customer_id, :kind, :value, :recorded_at)
ON CONFLICT (kind, value) DO NOTHING RETURNING {_COLUMNS}
"""
_HELD = f"SELECT {_COLUMNS} FROM identifiers WHERE kind = :kind AND value = :value FOR UPDATE"
_FIND = f"SELECT {_COLUMNS} FROM identifiers WHERE identifier_id = :id AND customer_id = ANY(:ids)"
_REMOVE = f"DELETE FROM identifiers WHERE identifier_id = :id AND customer_id = ANY(:ids) RETURNING {_COLUMNS}"
_PAGE = f"""
SELECT {_COLUMNS} FROM identifiers
WHERE customer_id = ANY(:ids) AND (CAST(:after AS text) IS NULL OR identifier_id > :after)
ORDER BY identifier_id LIMIT :limit
"""
# By the index on (kind, value) of either table; two rows are enough to tell that it isn't one person's.
_WHOSE = """
SELECT DISTINCT coalesce(s.survivor_id, found.customer_id) AS customer_id FROM (
    SELECT customer_id FROM contact_points WHERE kind = :kind AND value = :value
    UNION ALL SELECT customer_id FROM identifiers WHERE kind = :kind AND value = :value
) AS found LEFT JOIN survivors AS s ON s.customer_id = found.customer_id
LIMIT 2
"""


async def add(tx: Tx, identifier: Identifier) -> bool:
    """Writes an identifier; False where somebody has it already."""
    return bool(await fetch(tx, _ADD, **msgspec.structs.asdict(identifier)))


async def held(tx: Tx, kind: str, value: str) -> Identifier | None:
    """The identifier as somebody has it, held until the transaction ends."""
    return _one(await fetch(tx, _HELD, kind=kind, value=value))


async def find(tx: Tx, ids: Sequence[str], identifier_id: str) -> Identifier | None:
    """An identifier of a person's ids."""
    return _one(await fetch(tx, _FIND, ids=list(ids), id=identifier_id))


async def remove(tx: Tx, ids: Sequence[str], identifier_id: str) -> Identifier | None:
    """Takes an identifier away; answers what it was."""
    return _one(await fetch(tx, _REMOVE, ids=list(ids), id=identifier_id))


async def page(tx: Tx, ids: Sequence[str], after: str | None, limit: int) -> list[Identifier]:
    """Identifiers of a person's ids, in the order of their own ids."""
    rows = await fetch(tx, _PAGE, ids=list(ids), after=after, limit=limit)
    return [msgspec.convert(dict(row), Identifier) for row in rows]


async def whose(tx: Tx, kind: str, value: str) -> list[str]:
    """Who has an address or an identifier, two at the most."""
    return [row["customer_id"] for row in await fetch(tx, _WHOSE, kind=kind, value=value)]


def _one(rows: Sequence[RowMapping]) -> Identifier | None:
    return msgspec.convert(dict(rows[0]), Identifier) if rows else None
