"""What all customers share, and what each order has of it: all SQL that reads or writes it."""

from collections.abc import Mapping, Sequence

from services.loyalty.earning.pools import Grant, PoolKey
from shared.db import Tx, columns, execute, fetch

_KEYS = "unnest(CAST(:rules AS text[]), CAST(:periods AS text[])) AS wanted (rule, period)"
_OPEN = f"INSERT INTO pools (rule, period, given) SELECT rule, period, 0 FROM {_KEYS} ON CONFLICT DO NOTHING"
_READ = f"SELECT rule, period, given FROM pools JOIN {_KEYS} USING (rule, period)"
_LOCK = f"{_READ} ORDER BY rule, period FOR UPDATE OF pools"
_SAVE = """
UPDATE pools SET given = new.given
FROM unnest(CAST(:rules AS text[]), CAST(:periods AS text[]), CAST(:given AS bigint[])) AS new (rule, period, given)
WHERE pools.rule = new.rule AND pools.period = new.period
"""
_GRANTS = "SELECT order_id, rule, period, asked, granted, used FROM pool_grants WHERE order_id = ANY(:orders)"
_KEEP = """
INSERT INTO pool_grants (order_id, rule, period, asked, granted, used)
SELECT * FROM unnest(
    CAST(:orders AS text[]), CAST(:rules AS text[]), CAST(:periods AS text[]), CAST(:asked AS bigint[]),
    CAST(:granted AS bigint[]), CAST(:used AS bigint[])) AS new (order_id, rule) ORDER BY order_id, rule
ON CONFLICT (order_id, rule) DO UPDATE SET period = excluded.period, asked = excluded.asked,
    granted = excluded.granted, used = excluded.used
"""


async def lock(tx: Tx, keys: Sequence[PoolKey]) -> dict[PoolKey, int]:
    """What was given of these pools, sorted by their keys, each locked until the transaction ends."""
    rules, periods = columns(keys, 2)
    await execute(tx, _OPEN, rules=rules, periods=periods)
    return {(row["rule"], row["period"]): row["given"] for row in await fetch(tx, _LOCK, rules=rules, periods=periods)}


async def read(tx: Tx, keys: Sequence[PoolKey]) -> dict[PoolKey, int]:
    """The same without a lock; a pool that nothing was given of may be missing."""
    rules, periods = columns(keys, 2)
    return {(row["rule"], row["period"]): row["given"] for row in await fetch(tx, _READ, rules=rules, periods=periods)}


async def grants_of(tx: Tx, orders: Sequence[str]) -> dict[tuple[str, str], Grant]:
    """What these orders have of any pool, by order and rule."""
    return {
        (row["order_id"], row["rule"]): Grant(row["period"], row["asked"], row["granted"], row["used"])
        for row in await fetch(tx, _GRANTS, orders=list(orders))
    }


async def save(tx: Tx, given: Mapping[PoolKey, int], grants: Mapping[tuple[str, str], Grant]) -> None:
    """Writes what was given of locked pools, and grants."""
    if given:
        rules, periods, points = columns(sorted((*key, points) for key, points in given.items()), 3)
        await execute(tx, _SAVE, rules=rules, periods=periods, given=points)
    if grants:
        rows = sorted((*key, one.period, one.asked, one.granted, one.used) for key, one in grants.items())
        orders, rules, periods, asked, granted, used = columns(rows, 6)
        await execute(
            tx, _KEEP, orders=orders, rules=rules, periods=periods, asked=asked, granted=granted, used=used
        )
