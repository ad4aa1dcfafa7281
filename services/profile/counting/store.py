"""Orders as they stand, those to be looked at again, and how often products are in one basket."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from services.profile.counting.domain import COLUMNS
from services.profile.counting.domain import Row as Counted
from shared.db import Row, Tx, copy, execute, fetch
from shared.messaging.facts import ORDER_KINDS

# Every transaction below the snapshot's xmin has ended: what it recorded is seen, and nobody records below it any more.
_HOLD = """
SELECT counted_to, txid_snapshot_xmin(txid_current_snapshot()) AS settled_to,
       txid_snapshot_xmax(txid_current_snapshot()) AS next_to_come
FROM counting FOR UPDATE
"""
_MARK_ALL = """
INSERT INTO stale_orders AS s (order_id, loaded)
SELECT coalesce(order_id, key), bool_and(backfill) FROM facts WHERE kind = ANY(:kinds) {} GROUP BY 1 ORDER BY 1
ON CONFLICT (order_id) DO UPDATE SET loaded = false WHERE s.loaded IS DISTINCT FROM false AND NOT excluded.loaded
"""
_MARK = _MARK_ALL.format("AND recorded_in >= :since AND recorded_in < :until")
_STALE = "INSERT INTO stale_orders (order_id) SELECT unnest(CAST(:orders AS text[])) ORDER BY 1 ON CONFLICT DO NOTHING"
_MARKED = "UPDATE counting SET counted_to = :until"
_SETTLE = "UPDATE counting SET counted_at = :now WHERE NOT EXISTS (SELECT FROM stale_orders)"
_TAKE = """
DELETE FROM stale_orders
WHERE order_id IN (SELECT order_id FROM stale_orders ORDER BY order_id LIMIT :limit) RETURNING order_id, loaded
"""
# Not all of what is read now was there when the orders were noted.
_LIVE = """
SELECT key AS order_id FROM facts
WHERE kind = 'purchase-recorded' AND key = ANY(:orders)
  AND NOT backfill AND recorded_in >= (SELECT counted_to FROM counting)
UNION
SELECT order_id FROM facts
WHERE kind <> 'purchase-recorded' AND order_id = ANY(:orders)
  AND NOT backfill AND recorded_in >= (SELECT counted_to FROM counting)
"""
_COUNTED = "SELECT order_id, customer_id, skus, backfill FROM standing_orders WHERE order_id = ANY(:orders)"
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


async def take(tx: Tx, limit: int) -> dict[str, bool | None]:
    """Some of the orders to be looked at again, for this transaction alone, and whether all that was recorded of them
    since they were counted is loaded; None: nothing was."""
    await fetch(tx, _HOLD)
    return {row["order_id"]: row["loaded"] for row in await fetch(tx, _TAKE, limit=limit)}


async def live(tx: Tx, orders: Sequence[str]) -> set[str]:
    """Those of these orders of which something live was recorded that ``mark`` hasn't come to."""
    return {row["order_id"] for row in await fetch(tx, _LIVE, orders=orders)}


async def counted(tx: Tx, orders: Sequence[str]) -> Sequence[Row]:
    """These orders as they are counted now, but for those that aren't: whose, their baskets, and if they are loaded."""
    return await fetch(tx, _COUNTED, orders=orders)


async def replace(tx: Tx, orders: Sequence[str], rows: Iterable[Counted], changed: Sequence[str]) -> None:
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
