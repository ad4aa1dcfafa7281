"""Rewards, what they said in each version, and who took them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.db import Row, Tx, columns, execute, fetch

# What open holds have that have lapsed is free, whether or not they were swept.
_LEFT = """
r.stock_left + (SELECT count(*)::int FROM reward_uses AS u
                WHERE u.reward_id = r.reward_id AND u.state = 'reserved' AND u.of_stock AND u.lapses_at <= :now)
"""
_COLUMNS = f"r.reward_id, v.version, r.created_at, r.stock, {_LEFT} AS stock_left, v.body"
_JOINED = "rewards AS r JOIN reward_versions AS v USING (reward_id, version)"
_ONE = f"SELECT {_COLUMNS} FROM {_JOINED} WHERE r.reward_id = :reward"
_AS_OF = f"""
SELECT {_COLUMNS} FROM rewards AS r JOIN reward_versions AS v USING (reward_id)
WHERE r.reward_id = :reward AND v.version = :version
"""
_BODIES = "SELECT version, body FROM reward_versions WHERE reward_id = :reward"
# `id`s sort by when they were made.
_PAGE = f"""
SELECT {_COLUMNS} FROM {_JOINED}
WHERE (CAST(:before AS text) IS NULL OR r.reward_id < :before) AND (r.active OR NOT CAST(:active AS boolean))
ORDER BY r.reward_id DESC LIMIT :limit
"""
_LOCK = "SELECT stock FROM rewards WHERE reward_id = :reward FOR UPDATE"
_INSERT = """
INSERT INTO rewards (reward_id, version, active, stock, stock_left, created_at)
VALUES (:reward, 1, :active, :stock, :stock, :now)
"""
_VERSION = """
INSERT INTO reward_versions (reward_id, version, posted_at, body) VALUES (:reward, :version, :now, :body)
"""
_CHANGE = """
UPDATE rewards SET version = :version, active = :active, stock = :stock,
    stock_left = :stock - CAST(:taken AS integer)
WHERE reward_id = :reward
"""
_OF_STOCK = """
SELECT count(*)::int AS taken FROM reward_uses WHERE reward_id = :reward AND of_stock AND state <> 'released'
"""
_TAKEN = """
SELECT u.reward_id, count(*)::int AS taken
FROM unnest(CAST(:rewards AS text[]), CAST(:sinces AS timestamptz[])) AS w (reward_id, since)
    JOIN reward_uses AS u ON u.reward_id = w.reward_id AND (w.since IS NULL OR u.at >= w.since)
WHERE u.account_id = ANY(:accounts) AND u.state <> 'released' AND (u.lapses_at IS NULL OR u.lapses_at > :now)
GROUP BY u.reward_id
"""
_USE = """
INSERT INTO reward_uses (use_id, reward_id, version, account_id, at, state, lapses_at, of_stock)
SELECT :use, :reward, :version, :account, :now, :state, :lapses, {of_stock}
"""
_TAKE_ONE = f"""
WITH taken AS (
    UPDATE rewards SET stock_left = stock_left - 1 WHERE reward_id = :reward AND stock_left > 0 RETURNING 1
)
{_USE.format(of_stock="true")} FROM taken
"""
_NOTE = _USE.format(of_stock="false")
# Whoever is giving one of these back has locked it, and adds it himself: waiting for him would be a deadlock.
_LAPSE = """
WITH found AS (
    SELECT use_id FROM reward_uses
    WHERE reward_id = :reward AND state = 'reserved' AND of_stock AND lapses_at <= :now FOR UPDATE SKIP LOCKED
), lapsed AS (
    UPDATE reward_uses AS u SET state = 'released', lapses_at = NULL FROM found WHERE u.use_id = found.use_id
    RETURNING 1
)
UPDATE rewards SET stock_left = stock_left + counted.lapsed
FROM (SELECT count(*)::int AS lapsed FROM lapsed) AS counted
WHERE reward_id = :reward AND counted.lapsed > 0 AND stock_left IS NOT NULL
"""
_RELEASE = """
UPDATE reward_uses SET state = 'released', lapses_at = NULL WHERE use_id = ANY(:uses) AND state <> 'released'
RETURNING reward_id, of_stock
"""
_LOCK_MANY = "SELECT reward_id FROM rewards WHERE reward_id = ANY(:rewards) ORDER BY reward_id FOR UPDATE"
_GIVE_BACK = """
UPDATE rewards AS r SET stock_left = stock_left + back.pieces
FROM (SELECT reward_id, count(*)::int AS pieces FROM unnest(CAST(:rewards AS text[])) AS one (reward_id)
      GROUP BY reward_id) AS back
WHERE r.reward_id = back.reward_id AND r.stock_left IS NOT NULL
"""
_SETTLE = """
UPDATE reward_uses SET state = 'settled', lapses_at = NULL
WHERE use_id = :use AND (state = 'settled' OR state = 'reserved' AND lapses_at > :now)
"""


async def one(tx: Tx, reward: str, now: datetime) -> Row | None:
    """A reward as it stands, or None."""
    rows = await fetch(tx, _ONE, reward=reward, now=now)
    return rows[0] if rows else None


async def as_of(tx: Tx, reward: str, version: int, now: datetime) -> Row | None:
    """A reward as a version has it, with the stock as it stands, or None."""
    rows = await fetch(tx, _AS_OF, reward=reward, version=version, now=now)
    return rows[0] if rows else None


async def bodies(tx: Tx, reward: str) -> list[tuple[int, str]]:
    """What each version of a reward said."""
    return [(row["version"], row["body"]) for row in await fetch(tx, _BODIES, reward=reward)]


async def page(tx: Tx, before: str | None, *, active: bool, limit: int, now: datetime) -> Sequence[Row]:
    """Rewards whose ids are lower, the newest first; only the active ones if ``active``."""
    return await fetch(tx, _PAGE, before=before, active=active, limit=limit, now=now)


async def insert(tx: Tx, reward: str, *, active: bool, stock: int | None, body: str, now: datetime) -> None:
    """A reward's first version."""
    await execute(tx, _INSERT, reward=reward, active=active, stock=stock, now=now)
    await execute(tx, _VERSION, reward=reward, version=1, now=now, body=body)


async def lock(tx: Tx, reward: str) -> bool:
    """Nobody else changes it, or takes of its stock, until the transaction ends; whether it is there."""
    return bool(await fetch(tx, _LOCK, reward=reward))


async def taken_of_stock(tx: Tx, reward: str) -> int:
    """How many pieces are taken or reserved: under ``lock`` exactly."""
    return int((await fetch(tx, _OF_STOCK, reward=reward))[0]["taken"])


async def change(
    tx: Tx, reward: str, version: int, *, active: bool, stock: int | None, taken: int, body: str, now: datetime
) -> None:
    """A reward's next version, of whose stock so many are taken."""
    await execute(tx, _CHANGE, reward=reward, version=version, active=active, stock=stock, taken=taken)
    await execute(tx, _VERSION, reward=reward, version=version, now=now, body=body)


async def taken(
    tx: Tx, since: Mapping[str, datetime | None], accounts: Sequence[int], now: datetime
) -> dict[str, int]:  # fmt: skip
    """How often these accounts have taken rewards, each since an instant or ever, open holds among it."""
    rewards, sinces = columns(list(since.items()), 2)
    rows = await fetch(tx, _TAKEN, rewards=rewards, sinces=sinces, accounts=list(accounts), now=now)
    return {row["reward_id"]: row["taken"] for row in rows}


async def use(
    tx: Tx, use: str, reward: str, version: int, account: int, now: datetime, lapses: datetime | None, *, of_stock: bool
) -> bool:  # fmt: skip
    """Notes a use; ``of_stock``: if there is a piece left for it."""
    statement = _TAKE_ONE if of_stock else _NOTE
    state = "reserved" if lapses else "settled"
    noted = await execute(
        tx, statement, use=use, reward=reward, version=version, account=account, now=now, state=state, lapses=lapses
    )
    return bool(noted)


async def lapse(tx: Tx, reward: str, now: datetime) -> bool:
    """Gives back what open holds have of a reward's stock that have lapsed; whether there were any."""
    return bool(await execute(tx, _LAPSE, reward=reward, now=now))


async def release(tx: Tx, uses: Sequence[str]) -> int:
    """Gives uses back that weren't before; how many there were."""
    rows = await fetch(tx, _RELEASE, uses=sorted(uses))
    rewards = sorted(row["reward_id"] for row in rows if row["of_stock"])
    if len(set(rewards)) > 1:
        await fetch(tx, _LOCK_MANY, rewards=rewards)
    if rewards:
        await execute(tx, _GIVE_BACK, rewards=rewards)
    return len(rows)


async def settle(tx: Tx, use: str, now: datetime) -> bool:
    """For good; False where it is given back, or has lapsed."""
    return bool(await execute(tx, _SETTLE, use=use, now=now))
