"""The count that must balance: received = applied + duplicate + parked + dead + refused, by source and hour.

``received`` is counted where records come in, the others where each was settled: one that is lost on the way shows.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from shared.db import Tx, columns, execute, fetch

Settled = Literal["applied", "duplicate"]
Failed = Literal["parked", "dead"]
Outcome = Settled | Failed | Literal["refused"]
Counts = Mapping[tuple[str, Outcome], int]

_ADD = """
INSERT INTO flow AS f (source, hour, received, applied, duplicate, parked, dead, refused)
SELECT source, :hour, received, applied, duplicate, parked, dead, refused
FROM unnest(CAST(:sources AS text[]), CAST(:received AS bigint[]), CAST(:applied AS bigint[]),
            CAST(:duplicate AS bigint[]), CAST(:parked AS bigint[]), CAST(:dead AS bigint[]),
            CAST(:refused AS bigint[]))
    AS new (source, received, applied, duplicate, parked, dead, refused)
ORDER BY source
ON CONFLICT (hour, source) DO UPDATE
SET received = f.received + excluded.received, applied = f.applied + excluded.applied,
    duplicate = f.duplicate + excluded.duplicate, parked = f.parked + excluded.parked, dead = f.dead + excluded.dead,
    refused = f.refused + excluded.refused
"""
_MOVE = """
UPDATE flow SET applied = applied + (:now = 'applied')::int, duplicate = duplicate + (:now = 'duplicate')::int,
    parked = parked - (:was = 'parked')::int, dead = dead - (:was = 'dead')::int
WHERE hour = :hour AND source = :source
"""
_READ = """
SELECT source, hour, received, applied, duplicate, parked, dead, refused FROM flow
WHERE (hour, source) < (:hour, :source) ORDER BY hour DESC, source DESC LIMIT :limit
"""
_TOTALS = """
SELECT coalesce(sum(applied), 0) AS applied, coalesce(sum(duplicate), 0) AS duplicate,
       coalesce(sum(parked), 0) AS parked, coalesce(sum(dead), 0) AS dead, coalesce(sum(refused), 0) AS refused,
       coalesce(sum(received), 0) AS received
FROM flow
"""


async def add(tx: Tx, received: Mapping[str, int], counts: Counts, now: datetime) -> None:
    """Adds what came in by source, and a batch's outcomes, to the hour of ``now``.

    Last in its transaction: everybody writes these rows.
    """
    by_source: dict[str, Counter[str]] = {source: Counter(received=n) for source, n in received.items()}
    for (source, outcome), n in counts.items():
        by_source.setdefault(source, Counter())[outcome] += n
    names = ("received", "applied", "duplicate", "parked", "dead", "refused")
    rows = [(source, *(found[name] for name in names)) for source, found in sorted(by_source.items())]
    if rows:
        given = dict(zip(("sources", *names), columns(rows, 7), strict=True))
        await execute(tx, _ADD, hour=hour_of(now), **given)


async def replayed(tx: Tx, source: str, was: Failed, now: Settled, counted_at: datetime) -> None:
    """A dead letter was applied after all: it changes column in the hour where it was counted."""
    await execute(tx, _MOVE, source=source, was=was, now=now, hour=hour_of(counted_at))


async def read(tx: Tx, *, before: tuple[datetime, str] | None = None, limit: int = 50) -> list[dict[str, object]]:
    """Rows, newest hour first."""
    hour, source = before or (datetime(9999, 1, 1, tzinfo=UTC), "")
    return [dict(row) for row in await fetch(tx, _READ, hour=hour, source=source, limit=limit)]


async def totals(tx: Tx) -> dict[str, int]:
    """The sums over all sources and hours."""
    return {name: int(value) for name, value in (await fetch(tx, _TOTALS))[0].items()}


def hour_of(at: datetime) -> datetime:
    """The full hour, in UTC."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
