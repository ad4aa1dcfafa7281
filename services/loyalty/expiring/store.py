"""Lots near their expiry, and what was told of them.

A released lot of which something is free is due when it expires; all others aren't looked at.
"""

from collections.abc import Sequence
from datetime import date, datetime

from shared.db import Tx, execute, fetch

# By lots_expiring, a day at a time; what was told of it by the first column of the primary key.
_UNTOLD = """
SELECT DISTINCT coalesce(a.survivor_account_id, a.account_id) AS person
FROM lots AS l JOIN accounts AS a USING (account_id)
WHERE l.posted_in = 'available' AND l.due_at > :now AND l.due_at >= :since AND l.due_at < :until AND NOT EXISTS (
    SELECT FROM expiry_warnings AS w JOIN accounts AS o USING (account_id)
    WHERE w.day = :day AND coalesce(o.survivor_account_id, o.account_id)
        = coalesce(a.survivor_account_id, a.account_id)
)
LIMIT :limit
"""
# Noted of each account, so that whoever is parted again isn't told a second time.
_NOTE = """
WITH free AS (
    SELECT own.person, l.account_id, sum(l.posted)::bigint AS points, min(l.due_at) AS expires_at
    FROM (
        SELECT id AS person, id AS account_id FROM unnest(CAST(:persons AS bigint[])) AS asked (id)
        UNION ALL
        SELECT survivor_account_id, account_id FROM accounts WHERE survivor_account_id = ANY(:persons)
    ) AS own JOIN lots AS l USING (account_id)
    WHERE l.posted_in = 'available' AND l.due_at > :now AND l.due_at >= :since AND l.due_at < :until
    GROUP BY own.person, l.account_id
), noted AS (
    INSERT INTO expiry_warnings (day, account_id, points, told_at)
    SELECT :day, account_id, points, :now FROM free ORDER BY account_id
)
SELECT person, sum(points)::bigint AS points, min(expires_at) AS expires_at FROM free GROUP BY person ORDER BY person
"""
_NEXT = """
SELECT min(due_at) AS at FROM lots WHERE posted_in = 'available' AND due_at IS NOT NULL AND due_at > :after
"""
_FORGET = "DELETE FROM expiry_warnings WHERE day < :day"

Expiring = tuple[int, int, datetime]
"""The account that answers for a person, his free points that expire on a day, and when the first of them do."""


async def untold(
    tx: Tx, day: date, now: datetime, since: datetime, until: datetime, limit: int
) -> list[int]:
    """Persons, by the account that answers for each, who have points that expire from ``since`` on before ``until``
    and weren't told of that day."""
    rows = await fetch(tx, _UNTOLD, day=day, now=now, since=since, until=until, limit=limit)
    return sorted(row["person"] for row in rows)


async def note(
    tx: Tx, persons: Sequence[int], day: date, now: datetime, since: datetime, until: datetime
) -> list[Expiring]:
    """What of theirs expires then, noted as told; nothing of whom has nothing left."""
    rows = await fetch(tx, _NOTE, persons=list(persons), day=day, now=now, since=since, until=until)
    return [(row["person"], row["points"], row["expires_at"]) for row in rows]


async def next_expiry(tx: Tx, after: datetime) -> datetime | None:
    """When the next points of anybody expire that are there to be used."""
    at: datetime | None = (await fetch(tx, _NEXT, after=after))[0]["at"]
    return at


async def forget(tx: Tx, day: date) -> int:
    """Deletes what was told of days before; how many rows that were."""
    return await execute(tx, _FORGET, day=day)
