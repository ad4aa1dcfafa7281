"""The tier that was last announced of each account, and when it is due to be looked at: it changes no earlier.

And what tiers are made of: what became of the orders of accounts.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from services.loyalty.tiers.domain import Spend
from shared.db import Row, Tx, columns, execute, fetch

_READ = "SELECT account_id, tier, due_at, warned_for FROM tiers WHERE account_id = ANY(:accounts)"
# Days as text: arrays in an array have to be of one length.
_SAVE = """
INSERT INTO tiers AS t (account_id, tier, due_at, warned_for)
SELECT account_id, tier, due_at, CAST(string_to_array(warned_for, ',') AS date[])
FROM unnest(CAST(:accounts AS bigint[]), CAST(:tiers AS text[]), CAST(:due_at AS timestamptz[]),
            CAST(:warned_for AS text[])) AS new (account_id, tier, due_at, warned_for) ORDER BY account_id
ON CONFLICT (account_id) DO UPDATE
    SET tier = excluded.tier, due_at = excluded.due_at, warned_for = excluded.warned_for
"""
_REST = "UPDATE tiers SET due_at = NULL WHERE account_id = ANY(:accounts) AND due_at IS NOT NULL"
_DUE = "SELECT account_id FROM tiers WHERE due_at <= :now ORDER BY due_at LIMIT :limit"
_NEXT_DUE = "SELECT min(due_at) AS due_at FROM tiers WHERE due_at IS NOT NULL"
_PASS = "SELECT last_account_id, done FROM tier_passes WHERE version = :version"
_PASSED = """
INSERT INTO tier_passes (version, last_account_id, done) VALUES (:version, :last, :done)
ON CONFLICT (version) DO UPDATE SET last_account_id = excluded.last_account_id, done = excluded.done
"""

_POINTS = ", array_agg(points) AS points"
# Points that no order made raise no tier: nothing was paid for them.
_SPENDS = """
SELECT account_id, array_agg(occurred_at) AS times, array_agg(net_minor) AS nets {points}
FROM unnest(CAST(:accounts AS bigint[]), CAST(:least AS bigint[])) AS wanted (account_id, least)
    JOIN lots USING (account_id)
WHERE occurred_at > :since AND currency = :currency AND net_minor > 0
GROUP BY account_id, least HAVING sum(net_minor) >= least
"""
# Account by account by their index, whatever the planner believes of tables that were filled a moment ago: OFFSET keeps
# the lateral part apart.
_SPENDS_OF_GROUPS = """
SELECT a.judged AS account_id, array_agg(l.occurred_at) AS times, array_agg(l.net_minor) AS nets {points}
FROM (
    SELECT id AS judged, id AS account_id FROM unnest(CAST(:accounts AS bigint[])) AS own (id)
    UNION ALL
    SELECT survivor_account_id, account_id FROM accounts WHERE survivor_account_id = ANY(:accounts)
) AS a, LATERAL (
    SELECT occurred_at, net_minor, points FROM lots
    WHERE account_id = a.account_id AND occurred_at > :since AND currency = :currency AND net_minor > 0 OFFSET 0
) AS l
GROUP BY 1
"""
# Those that others don't answer for. By the primary key.
_PERSONS = """
SELECT account_id, customer_id FROM accounts
WHERE account_id > :after AND survivor_account_id IS NULL ORDER BY account_id LIMIT :limit
"""
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"

Told = tuple[str | None, datetime | None, tuple[date, ...]]
"""The tier last told of, when it is due to be looked at, and the days of falls that were warned of."""


async def read(tx: Tx, accounts: Sequence[int]) -> dict[int, Told]:
    """What was last announced of these accounts; nothing of who never had a tier, nor will without buying."""
    rows = await fetch(tx, _READ, accounts=list(accounts))
    return {row["account_id"]: (row["tier"], row["due_at"], tuple(row["warned_for"])) for row in rows}


async def save(tx: Tx, rows: Sequence[tuple[int, Told]]) -> None:
    """Writes that."""
    if rows:
        flat = [(id_, tier, due_at, ",".join(map(str, warned))) for id_, (tier, due_at, warned) in rows]
        accounts, tiers, due_at, warned_for = columns(flat, 4)
        await execute(tx, _SAVE, accounts=accounts, tiers=tiers, due_at=due_at, warned_for=warned_for)


async def spends(
    tx: Tx, accounts: Mapping[int, int], currency: str, since: datetime, with_points: bool
) -> dict[int, list[Spend]]:
    """What stands of each account's orders after ``since``, where it comes to what is asked of that account."""
    sql = _SPENDS.format(points=_POINTS if with_points else "")
    rows = await fetch(
        tx, sql, accounts=list(accounts), least=list(accounts.values()), currency=currency, since=since
    )
    return {row["account_id"]: _spends(row, with_points) for row in rows}


async def spends_of_groups(
    tx: Tx, accounts: Sequence[int], currency: str, since: datetime, with_points: bool
) -> dict[int, list[Spend]]:
    """The same for each account together with those that it answers for."""
    sql = _SPENDS_OF_GROUPS.format(points=_POINTS if with_points else "")
    rows = await fetch(tx, sql, accounts=list(accounts), currency=currency, since=since)
    return {row["account_id"]: _spends(row, with_points) for row in rows}


async def persons(tx: Tx, after: int, limit: int) -> list[tuple[int, str]]:
    """Accounts by id, each with its customer, without those that another answers for."""
    rows = await fetch(tx, _PERSONS, after=after, limit=limit)
    return [(row["account_id"], row["customer_id"]) for row in rows]


async def snapshot(tx: Tx) -> None:
    """First statement of a transaction that reads everything as of one moment."""
    await execute(tx, _SNAPSHOT)


async def rest(tx: Tx, accounts: Sequence[int]) -> None:
    """These accounts' tiers aren't judged by themselves; what was last announced of them stands."""
    await execute(tx, _REST, accounts=list(accounts))


async def due(tx: Tx, now: datetime, limit: int) -> list[int]:
    """Accounts whose tier is due to be looked at by now, the longest waiting first."""
    return [row["account_id"] for row in await fetch(tx, _DUE, now=now, limit=limit)]


async def next_due(tx: Tx) -> datetime | None:
    """When the next tier is due to be looked at."""
    at: datetime | None = (await fetch(tx, _NEXT_DUE))[0]["due_at"]
    return at


async def progress(tx: Tx, version: int) -> tuple[int, bool]:
    """The last account that was judged under a version since it came into force, and whether all were."""
    rows = await fetch(tx, _PASS, version=version)
    return (rows[0]["last_account_id"], rows[0]["done"]) if rows else (0, False)


async def note_progress(tx: Tx, version: int, last: int, done: bool) -> None:
    """Keeps that."""
    await execute(tx, _PASSED, version=version, last=last, done=done)


def _spends(row: Row, with_points: bool) -> list[Spend]:
    if with_points:
        return list(zip(row["times"], row["nets"], row["points"], strict=True))
    return list(zip(row["times"], row["nets"], strict=True))
