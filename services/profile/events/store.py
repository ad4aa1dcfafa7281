"""What came in over HTTP, by source and id: the key that makes a second POST harmless."""

from datetime import datetime, timedelta

from shared.db import Tx, columns, execute, fetch

_INSERT = """
INSERT INTO received_events (source, id, digest, received_at)
SELECT source, id, digest, :now
FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[]), CAST(:digests AS bytea[])) AS new (source, id, digest)
ORDER BY source, id
ON CONFLICT DO NOTHING
RETURNING source, id
"""
_KNOWN = """
SELECT r.source, r.id, r.digest
FROM received_events AS r JOIN unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS w (source, id)
USING (source, id)
"""
_EXPIRE = "DELETE FROM received_events WHERE received_at < :before"

Identity = tuple[str, str]


async def admit(tx: Tx, digests: dict[Identity, bytes], now: datetime) -> dict[Identity, bytes]:
    """Writes the new ones down; answers the known ones, with the digest they came with first."""
    if not digests:
        return {}
    rows = sorted((*identity, digest) for identity, digest in digests.items())
    sources, ids, values = columns(rows, 3)
    fresh = await fetch(tx, _INSERT, sources=sources, ids=ids, digests=values, now=now)
    known = digests.keys() - {(row["source"], row["id"]) for row in fresh}
    if not known:
        return {}
    sources, ids = columns(sorted(known), 2)
    found = await fetch(tx, _KNOWN, sources=sources, ids=ids)
    return {(row["source"], row["id"]): row["digest"] for row in found}


async def expire(tx: Tx, now: datetime, days: int) -> int:
    """Deletes rows older than ``days``; from there on the consumers' own keys tell duplicates."""
    return await execute(tx, _EXPIRE, before=now - timedelta(days=days))
