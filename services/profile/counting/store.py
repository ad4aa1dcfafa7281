"""Orders as they stand, those to be looked at again, and how often products are in one basket."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from services.profile.counting.domain import COLUMNS, Row
from shared.db import Tx, copy, execute, fetch
from shared.messaging.facts import ORDER_KINDS

# Every transaction below the snapshot's xmin has ended: what it recorded is seen, and nobody records below it any more.
_HOLD = """
SELECT counted_to, txid_snapshot_xmin(txid_current_snapshot()) AS settled_to,
       txid_snapshot_xmax(txid_current_snapshot()) AS next_to_come
FROM counting FOR UPDATE
"""
_MARK_ALL = """
INSERT INTO stale_orders (order_id)
SELECT DISTINCT coalesce(order_id, key) FROM facts WHERE kind = ANY(:kinds) {}
ON CONFLICT DO NOTHING
"""
_MARK = _MARK_ALL.format("AND recorded_in >= :since AND recorded_in < :until")
_STALE = "INSERT INTO stale_orders SELECT unnest(CAST(:orders AS text[])) ORDER BY 1 ON CONFLICT DO NOTHING"
_MARKED = "UPDATE counting SET counted_to = :until"
_SETTLE = "UPDATE counting SET counted_at = :now WHERE NOT EXISTS (SELECT FROM stale_orders)"
_TAKE = """
DELETE FROM stale_orders
WHERE order_id IN (SELECT order_id FROM stale_orders ORDER BY order_id LIMIT :limit) RETURNING order_id
"""
_BASKETS = "SELECT order_id, skus FROM standing_orders WHERE order_id = ANY(:orders)"
_DELETE = "DELETE FROM standing_orders WHERE order_id = ANY(:orders)"
# Counts that fall to 0 stay as rows of 0: whoever reads asks for more.
_ADD_ITEMS = """
INSERT INTO item_counts AS c (sku, baskets)
SELECT sku, CAST(:sign AS integer) * count(*)
FROM standing_orders AS o, unnest(o.skus) AS sku
WHERE o.order_id = ANY(:orders) GROUP BY sku ORDER BY sku
ON CONFLICT (sku) DO UPDATE SET baskets = c.baskets + excluded.baskets
"""
_ADD_PAIRS = """
INSERT INTO item_pairs AS p (first, second, baskets)
SELECT a.sku, b.sku, CAST(:sign AS integer) * count(*)
FROM standing_orders AS o, unnest(o.skus) AS a (sku), unnest(o.skus) AS b (sku)
WHERE o.order_id = ANY(:orders) AND a.sku < b.sku GROUP BY a.sku, b.sku ORDER BY a.sku, b.sku
ON CONFLICT (first, second) DO UPDATE SET baskets = p.baskets + excluded.baskets
"""
_ADD_BASKETS = """
UPDATE counting SET baskets = baskets + CAST(:sign AS integer) * (
    SELECT count(*) FROM standing_orders WHERE order_id = ANY(:orders) AND skus <> '{}')
"""
_COUNTED_AT = "SELECT counted_at FROM counting"


async def mark(tx: Tx) -> int:
    """Notes the orders of all facts recorded since the last time, by whatever event they were changed; how many."""
    held = (await fetch(tx, _HOLD))[0]
    since, until = held["counted_to"], held["settled_to"]
    if since > held["next_to_come"]:
        # The database was restored into a server that numbers its transactions anew.
        marked = await execute(tx, _MARK_ALL.format(""), kinds=list(ORDER_KINDS))
    else:
        marked = await execute(tx, _MARK, since=since, until=until, kinds=list(ORDER_KINDS))
    await execute(tx, _MARKED, until=until)
    return marked


async def stale(tx: Tx, orders: Sequence[str]) -> None:
    """Notes that these are to be looked at again."""
    await execute(tx, _STALE, orders=orders)


async def take(tx: Tx, limit: int) -> list[str]:
    """Some of the orders to be looked at again, for this transaction alone."""
    await fetch(tx, _HOLD)
    return [row["order_id"] for row in await fetch(tx, _TAKE, limit=limit)]


async def baskets(tx: Tx, orders: Sequence[str]) -> dict[str, list[str]]:
    """The baskets of these orders as they are counted now; an order of none isn't there."""
    return {row["order_id"]: row["skus"] for row in await fetch(tx, _BASKETS, orders=orders)}


async def replace(tx: Tx, orders: Sequence[str], rows: Iterable[Row], changed: Sequence[str]) -> None:
    """Writes the orders anew, and takes those of them whose basket has ``changed`` out of the counts and in again."""
    await _count(tx, changed, -1)
    await execute(tx, _DELETE, orders=orders)
    await copy(tx, "standing_orders", COLUMNS, rows)
    await _count(tx, changed, 1)


async def settle(tx: Tx, now: datetime) -> None:
    """Notes that everything recorded before ``now`` is counted, unless orders still wait."""
    await execute(tx, _SETTLE, now=now)


async def counted_at(tx: Tx) -> datetime | None:
    """When nothing was left to count; None: never yet."""
    at: datetime | None = (await fetch(tx, _COUNTED_AT))[0]["counted_at"]
    return at


async def _count(tx: Tx, orders: Sequence[str], sign: int) -> None:
    if orders:
        for statement in (_ADD_ITEMS, _ADD_PAIRS, _ADD_BASKETS):
            await execute(tx, statement, orders=orders, sign=sign)
