"""Many identifiers at once: what ``store`` does for one."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from shared.db import Tx, columns, copy, execute, fetch

Digest = tuple[str, bytes]
"""A kind, and the digest of a value of it."""

_HOLDERS = """
SELECT i.kind, i.digest, i.customer_id FROM identifiers AS i
JOIN unnest(CAST(:kinds AS text[]), CAST(:digests AS bytea[])) AS asked (kind, digest) USING (kind, digest)
"""
_REMOVE = """
DELETE FROM identifiers USING unnest(CAST(:ids AS text[]), CAST(:customers AS text[])) AS gone (id, customer_id)
WHERE identifiers.identifier_id = gone.id AND identifiers.customer_id = gone.customer_id
"""


async def holders(tx: Tx, asked: Iterable[Digest]) -> dict[Digest, str]:
    """Under whose ids these stand."""
    kinds, digests = columns(sorted(set(asked)), 2)
    rows = await fetch(tx, _HOLDERS, kinds=kinds, digests=digests) if kinds else []
    return {(row["kind"], bytes(row["digest"])): row["customer_id"] for row in rows}


async def add(tx: Tx, rows: Sequence[tuple[str, str, str, bytes, bytes, datetime]]) -> None:
    """Writes identifiers: id, customer, kind, sealed, digest, when. Raises asyncpg.UniqueViolationError where somebody
    was faster."""
    if rows:
        names = ("identifier_id", "customer_id", "kind", "sealed", "digest", "recorded_at")
        await copy(tx, "identifiers", names, rows)


async def remove(tx: Tx, held: Iterable[tuple[str, str]]) -> int:
    """Takes identifiers (id, customer) away where they are still his; answers how many."""
    ids, customers = columns(sorted(held), 2)
    return await execute(tx, _REMOVE, ids=ids, customers=customers) if ids else 0
