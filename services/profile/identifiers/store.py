"""The identifiers, and whose an identifier or an address is."""

from collections.abc import Sequence

import msgspec

from services.profile.identifiers.domain import Identifier, opened
from services.profile.vault.domain import Opener
from shared.db import Row, Tx, execute, fetch

_COLUMNS = "i.identifier_id, i.customer_id, i.kind, i.sealed, i.recorded_at, i.verified, k.wrapped, k.wrapped_by"
_KEPT = f"SELECT {_COLUMNS} FROM identifiers AS i LEFT JOIN customer_keys AS k USING (customer_id)"
_ADD = """
INSERT INTO identifiers (identifier_id, customer_id, kind, sealed, digest, recorded_at, verified)
VALUES (:identifier_id, :customer_id, :kind, :sealed, :digest, :recorded_at, :verified)
ON CONFLICT (kind, digest) DO NOTHING
"""
_HELD = f"{_KEPT} WHERE i.kind = :kind AND i.digest = :digest FOR UPDATE OF i"
_FIND = f"{_KEPT} WHERE i.identifier_id = :id AND i.customer_id = ANY(:ids)"
_VERIFY = "UPDATE identifiers SET verified = true WHERE identifier_id = :id"
# No import that is taken back takes it along from now on.
_CLAIM = """
UPDATE import_customers SET identifiers = array_remove(identifiers, :id)
WHERE customer_id = :customer AND :id = ANY(identifiers)
"""
_REMOVE = "DELETE FROM identifiers WHERE identifier_id = :id"
_PAGE = f"""
{_KEPT}
WHERE i.customer_id = ANY(:ids) AND (CAST(:after AS text) IS NULL OR identifier_id > :after)
ORDER BY identifier_id LIMIT :limit
"""
# By the index on (kind, digest) of either table; two rows are enough to tell that it isn't one person's.
_WHOSE = """
SELECT DISTINCT coalesce(s.survivor_id, found.customer_id) AS customer_id FROM (
    SELECT customer_id FROM contact_points WHERE kind = :kind AND digest = :digest
    UNION ALL SELECT customer_id FROM identifiers WHERE kind = :kind AND digest = :digest
) AS found LEFT JOIN survivors AS s ON s.customer_id = found.customer_id
LIMIT 2
"""


async def add(tx: Tx, identifier: Identifier, sealed: bytes, digest: bytes) -> bool:
    """Writes an identifier; False where somebody has it already."""
    row = msgspec.structs.asdict(identifier)
    del row["value"]
    return bool(await execute(tx, _ADD, **row, sealed=sealed, digest=digest))


async def held(tx: Tx, opener: Opener, kind: str, digest: bytes) -> Identifier | None:
    """The identifier as somebody has it, held until the transaction ends."""
    return _one(await fetch(tx, _HELD, kind=kind, digest=digest), opener)


async def verify(tx: Tx, identifier_id: str) -> None:
    """Notes that an identifier which is held was verified."""
    await execute(tx, _VERIFY, id=identifier_id)


async def claim(tx: Tx, identifier: Identifier) -> None:
    """Notes that somebody named an identifier, which is held, himself: it is no import's any more."""
    await execute(tx, _CLAIM, id=identifier.identifier_id, customer=identifier.customer_id)


async def find(
    tx: Tx, opener: Opener, ids: Sequence[str], identifier_id: str, *, lock: bool = False
) -> Identifier | None:
    """An identifier of a person's ids, held until the transaction ends if asked for."""
    sql = f"{_FIND} FOR UPDATE OF i" if lock else _FIND
    return _one(await fetch(tx, sql, ids=list(ids), id=identifier_id), opener)


async def remove(tx: Tx, identifier_id: str) -> None:
    """Takes an identifier away."""
    await execute(tx, _REMOVE, id=identifier_id)


async def page(tx: Tx, opener: Opener, ids: Sequence[str], after: str | None, limit: int) -> list[Identifier]:
    """Identifiers of a person's ids, in the order of their own ids."""
    return [_identifier(row, opener) for row in await fetch(tx, _PAGE, ids=list(ids), after=after, limit=limit)]


async def whose(tx: Tx, kind: str, digest: bytes) -> list[str]:
    """Who has an address or an identifier, two at the most."""
    return [row["customer_id"] for row in await fetch(tx, _WHOSE, kind=kind, digest=digest)]


def _one(rows: Sequence[Row], opener: Opener) -> Identifier | None:
    return _identifier(rows[0], opener) if rows else None


def _identifier(row: Row, opener: Opener) -> Identifier:
    sealer = opener(row["customer_id"], row["wrapped"], row["wrapped_by"])
    value = opened(row["kind"], row["sealed"], sealer)
    return Identifier(row["identifier_id"], row["customer_id"], row["kind"], value, row["recorded_at"], row["verified"])
