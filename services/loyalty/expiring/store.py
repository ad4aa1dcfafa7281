"""Lots near their expiry, and what was told of them.

A released lot of which something is free is due when it expires; all others aren't looked at.
"""

from collections.abc import Sequence
from datetime import date, datetime

from shared.db import Tx, execute, fetch

# By lots_expiring, so many lots at a time: of some programmes all expire at one instant.
_NEAR = """
SELECT l.due_at, l.account_id, a.person, EXISTS (
    SELECT FROM expiry_warnings AS w WHERE w.day = :day AND w.account_id = a.person
) OR EXISTS (
    SELECT FROM accounts AS o JOIN expiry_warnings AS w USING (account_id)
    WHERE o.survivor_account_id = a.person AND w.day = :day
) AS told
FROM (
    SELECT due_at, account_id FROM lots
    WHERE posted_in = 'available' AND due_at IS NOT NULL AND due_at < :until
        AND (due_at, account_id) > (CAST(:at AS timestamptz), CAST(:account AS bigint))
    ORDER BY due_at, account_id LIMIT :limit
) AS l JOIN LATERAL (
    SELECT coalesce(survivor_account_id, account_id) AS person FROM accounts WHERE account_id = l.account_id
) AS a ON true
ORDER BY l.due_at, l.account_id
"""
# Noted of each account, so that whoever is parted again isn't told a second time. Account by account by their index,
# whatever the planner believes of a day on which everything expires: OFFSET keeps the lateral part apart.
_NOTE = """
WITH free AS (
    SELECT own.person, own.account_id, sum(l.posted)::bigint AS points, min(l.due_at) AS expires_at
    FROM (
        SELECT id AS person, id AS account_id FROM unnest(CAST(:persons AS bigint[])) AS asked (id)
        UNION ALL
        SELECT survivor_account_id, account_id FROM accounts WHERE survivor_account_id = ANY(:persons)
    ) AS own, LATERAL (
        SELECT posted, due_at FROM lots
        WHERE account_id = own.account_id AND posted_in = 'available' AND due_at >= :since AND due_at < :until OFFSET 0
    ) AS l
    GROUP BY own.person, own.account_id
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

Place = tuple[datetime, int]
"""When a lot expires, and of which account it is."""

Expiring = tuple[int, int, datetime]
"""The account that answers for a person, his free points that expire on a day, and when the first of them do."""


async def near(
    tx: Tx, day: date, after: Place, until: datetime, limit: int
) -> tuple[list[int], Place | None]:
    """The next lots that expire before ``until``: whose they are, by the account that answers for each person, without
    those who were told of that day; and up to where these were, None where they were the last."""
    rows = await fetch(tx, _NEAR, day=day, at=after[0], account=after[1], until=until, limit=limit)
    persons = sorted({row["person"] for row in rows if not row["told"]})
    return persons, (rows[-1]["due_at"], rows[-1]["account_id"]) if len(rows) == limit else None


async def note(
    tx: Tx, persons: Sequence[int], day: date, since: datetime, until: datetime, now: datetime
) -> list[Expiring]:
    """What of theirs expires from ``since`` on before ``until``, noted as told; nothing of whom has nothing left."""
    rows = await fetch(tx, _NOTE, persons=list(persons), day=day, now=now, since=since, until=until)
    return [(row["person"], row["points"], row["expires_at"]) for row in rows]


async def next_expiry(tx: Tx, after: datetime) -> datetime | None:
    """When the next points of anybody expire that are there to be used."""
    at: datetime | None = (await fetch(tx, _NEXT, after=after))[0]["at"]
    return at


async def forget(tx: Tx, day: date) -> int:
    """Deletes what was told of days before; how many rows that were."""
    return await execute(tx, _FORGET, day=day)
