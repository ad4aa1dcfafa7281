"""The inbox: every event has its effect once. ``source`` + ``id`` identify an event for ever."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.db import Tx, columns, execute, fetch
from shared.messaging.events import Event, Rejection

# Nearly all are new: naming the others costs less than naming these.
_INSERT = """
WITH wanted AS (
    SELECT source, id, digest
    FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[]), CAST(:digests AS bytea[])) AS new (source, id, digest)
), inserted AS (
    INSERT INTO inbox (source, id, digest, received_at) SELECT source, id, digest, :now FROM wanted
    ON CONFLICT DO NOTHING
    RETURNING source, id
)
SELECT source, id FROM wanted EXCEPT SELECT source, id FROM inserted
"""
_SEEN = """
SELECT inbox.source, inbox.id, inbox.digest
FROM inbox JOIN unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS wanted (source, id) USING (source, id)
"""
_FORGET = """
DELETE FROM inbox USING unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS gone (source, id)
WHERE inbox.source = gone.source AND inbox.id = gone.id
"""
_EXPIRE = """
DELETE FROM inbox WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM inbox WHERE received_at < :before ORDER BY received_at LIMIT :limit))
"""


@dataclass(slots=True)
class Admission:
    """What of a batch is new, what came before, and what contradicts what came before."""

    fresh: list[Event] = field(default_factory=list)
    duplicates: list[Event] = field(default_factory=list)
    conflicts: list[Rejection] = field(default_factory=list)


async def admit(tx: Tx, events: Sequence[Event], now: datetime) -> Admission:
    """Writes the events down, sorted, and tells new from known. The fresh keep the order of arrival."""
    first: dict[tuple[str, str], Event] = {}
    again = [event for event in events if first.setdefault((event.source, event.id), event) is not event]
    admission = Admission()
    if not first:
        return admission
    rows = sorted((*identity, event.digest) for identity, event in first.items())
    sources, ids, digests = columns(rows, 3)
    rows_there = await fetch(tx, _INSERT, sources=sources, ids=ids, digests=digests, now=now)
    known = {identity: event.digest for identity, event in first.items()}
    there = {(row["source"], row["id"]) for row in rows_there}
    if there:
        sources, ids = columns(sorted(there), 2)
        found = await fetch(tx, _SEEN, sources=sources, ids=ids)
        known |= {(row["source"], row["id"]): row["digest"] for row in found}
    for identity, event in first.items():
        if identity in there:
            _judge(admission, event, known[identity])
        else:
            admission.fresh.append(event)
    for event in again:
        _judge(admission, event, known[event.source, event.id])
    return admission


async def forget(tx: Tx, events: Sequence[Event]) -> None:
    """Takes refused events out again, so that a replay meets no trace of them."""
    if events:
        sources, ids = columns([(event.source, event.id) for event in events], 2)
        await execute(tx, _FORGET, sources=sources, ids=ids)


async def expire(tx: Tx, now: datetime, days: int, *, limit: int = 10_000) -> int:
    """Deletes rows older than ``days``, the oldest first: from there on natural keys alone tell duplicates."""
    return await execute(tx, _EXPIRE, before=now - timedelta(days=days), limit=limit)


def _judge(admission: Admission, event: Event, digest: bytes) -> None:
    if event.digest == digest:
        admission.duplicates.append(event)
    else:
        detail = f"{event.source} {event.id} came before with other data: a new event needs a new id"
        admission.conflicts.append(Rejection(event, "id-conflict", detail, "/id"))
