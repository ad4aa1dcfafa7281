"""What came in over HTTP, by source and id: the key that makes a second POST harmless."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from services.profile.events.references import Reference
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
_FORGET = """
DELETE FROM received_events AS r
USING unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS w (source, id)
WHERE (r.source, r.id) = (w.source, w.id)
"""
# By the index on (kind, digest) of either table.
_HOLDERS = """
SELECT w.digest, h.customer_id, coalesce(s.survivor_id, h.customer_id) AS survivor_id
FROM unnest(CAST(:kinds AS text[]), CAST(:digests AS bytea[])) AS w (kind, digest)
CROSS JOIN LATERAL (
    SELECT customer_id FROM contact_points AS p WHERE p.kind = w.kind AND p.digest = w.digest
    UNION SELECT customer_id FROM identifiers AS i WHERE i.kind = w.kind AND i.digest = w.digest
) AS h LEFT JOIN survivors AS s ON s.customer_id = h.customer_id
"""
# One at a time, so that two tills that meet a stranger at once make one file.
_MAKING = "SELECT pg_advisory_xact_lock(hashtextextended('roost.references', 0))"
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


async def forget(tx: Tx, identities: Iterable[Identity]) -> None:
    """Takes back what was written down in this transaction: it may be sent again."""
    sources, ids = columns(sorted(identities), 2)
    await execute(tx, _FORGET, sources=sources, ids=ids)


async def holders(tx: Tx, wanted: Mapping[Reference, bytes]) -> dict[Reference, list[tuple[str, str]]]:
    """Who has what these refer to, by its digest: customer ids, each with the one that answers for it."""
    kinds, digests = columns([(to.kind, digest) for to, digest in wanted.items()], 2)
    held: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
    for row in await fetch(tx, _HOLDERS, kinds=kinds, digests=digests):
        held[row["digest"]].append((row["customer_id"], row["survivor_id"]))
    return {to: held[digest] for to, digest in wanted.items() if digest in held}


async def alone(tx: Tx) -> None:
    """Until the transaction ends nobody else makes files of strangers."""
    await fetch(tx, _MAKING)


async def expire(tx: Tx, now: datetime, days: int) -> int:
    """Deletes rows older than ``days``; from there on the consumers' own keys tell duplicates."""
    return await execute(tx, _EXPIRE, before=now - timedelta(days=days))
