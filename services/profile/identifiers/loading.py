"""Many identifiers at once: what ``store`` does for one."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from shared.db import Tx, columns, copy, execute, fetch

Digest = tuple[str, bytes]
"""A kind, and the digest of a value of it."""

_HOLDERS = """
SELECT i.kind, i.digest, i.customer_id, i.identifier_id, i.recorded_at FROM identifiers AS i
JOIN unnest(CAST(:kinds AS text[]), CAST(:digests AS bytea[])) AS asked (kind, digest) USING (kind, digest)
"""
_HOLD = "SELECT 1 FROM identifiers WHERE identifier_id = ANY(:ids) ORDER BY identifier_id FOR UPDATE"
_REMOVE = """
DELETE FROM identifiers USING unnest(CAST(:ids AS text[]), CAST(:customers AS text[])) AS gone (id, customer_id)
WHERE identifiers.identifier_id = gone.id AND identifiers.customer_id = gone.customer_id
"""


class Held(NamedTuple):
    """An identifier by its id, under whose id it stands, and since when."""

    identifier_id: str
    customer_id: str
    recorded_at: datetime


async def holders(tx: Tx, asked: Iterable[Digest]) -> dict[Digest, Held]:
    """Which of these somebody has."""
    kinds, digests = columns(sorted(set(asked)), 2)
    rows = await fetch(tx, _HOLDERS, kinds=kinds, digests=digests) if kinds else []
    return {
        (row["kind"], bytes(row["digest"])): Held(row["identifier_id"], row["customer_id"], row["recorded_at"])
        for row in rows
    }


async def add(tx: Tx, rows: Sequence[tuple[str, str, str, bytes, bytes, datetime]]) -> None:
    """Writes identifiers: id, customer, kind, sealed, digest, when. Raises asyncpg.UniqueViolationError where somebody
    was faster."""
    if rows:
        names = ("identifier_id", "customer_id", "kind", "sealed", "digest", "recorded_at")
        await copy(tx, "identifiers", names, rows)


async def hold(tx: Tx, ids: Iterable[str]) -> None:
    """Nobody verifies, takes away or claims these identifiers until the transaction ends."""
    if wanted := sorted(ids):
        await fetch(tx, _HOLD, ids=wanted)


async def remove(tx: Tx, held: Iterable[tuple[str, str]]) -> int:
    """Takes identifiers (id, customer) away where they are still his; answers how many."""
    ids, customers = columns(sorted(held), 2)
    return await execute(tx, _REMOVE, ids=ids, customers=customers) if ids else 0
