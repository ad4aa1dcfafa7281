"""The queue of the placing: marks of whoever something new is known of, and who is to be placed next."""

from collections.abc import Sequence
from operator import attrgetter

import msgspec

from shared.contracts.segments import SegmentCause
from shared.db import Tx, execute, fetch

_MARK = """
INSERT INTO placement_marks (customer_id, matter, backfill)
SELECT customer_id, :matter, :backfill FROM unnest(CAST(:customers AS text[])) AS c (customer_id)
"""
_ORDERS_READ = "SELECT EXISTS (SELECT 1 FROM segments WHERE reads_orders) AS they_are"
_PROSPECTS = """
SELECT c.customer_id FROM unnest(CAST(:customers AS text[])) AS c (customer_id)
WHERE NOT EXISTS (SELECT 1 FROM purchase_states AS s WHERE s.customer_id = c.customer_id AND s.orders > 0)
"""
# All marks at once, because those of one transaction belong together: one of them says whether it loaded history. What
# it wrote of one matter is loaded, or live; a file is made by whatever came first.
_GATHER = """
WITH taken AS (
    DELETE FROM placement_marks RETURNING customer_id, cause, matter, backfill, marked_by
), matters AS (
    SELECT customer_id, marked_by, cause = 'merge' AS merged, matter, bool_or(backfill) AS loaded
    FROM taken GROUP BY 1, 2, 3, 4
), marks AS (
    -- What happens to a joined id happens to its survivor; being joined happens to itself.
    SELECT CASE WHEN merged THEN customer_id ELSE coalesce(survivor_id, customer_id) END AS customer_id,
           bool_or(merged) AS merged,
           bool_or(loaded) AND NOT bool_or(NOT loaded AND matter <> 'customers') AS silent
    FROM matters LEFT JOIN survivors USING (customer_id) GROUP BY 1, marked_by
), queued AS (
    INSERT INTO placement_queue AS q (customer_id, cause, silent)
    SELECT customer_id, CASE WHEN bool_or(merged) THEN 'merge' ELSE 'event' END, bool_and(silent)
    FROM marks GROUP BY customer_id ORDER BY customer_id
    ON CONFLICT (customer_id) DO UPDATE
    SET cause = CASE WHEN 'merge' IN (q.cause, excluded.cause) THEN 'merge' ELSE 'event' END,
        silent = q.silent AND excluded.silent
)
SELECT count(*) AS marks FROM taken
"""
_WAITING = "SELECT customer_id, silent FROM placement_queue WHERE customer_id = ANY(:customers)"
_WAITED = "SELECT coalesce(extract(epoch FROM now() - min(queued_at)), 0) AS seconds FROM placement_queue"
_TAKE = """
DELETE FROM placement_queue WHERE customer_id IN (
    SELECT customer_id FROM placement_queue WHERE customer_id > :after ORDER BY customer_id LIMIT :limit
) RETURNING customer_id, cause, silent
"""
_by_id = attrgetter("customer_id")


class Marked(msgspec.Struct, frozen=True):
    """A customer to be placed again. ``silent``: nothing but loaded history is new."""

    customer_id: str
    cause: SegmentCause
    silent: bool


async def mark(tx: Tx, customers: Sequence[str], matter: str = "elsewhere", *, backfill: bool = False) -> None:
    """Has these customers placed again. ``matter``: what has changed of them, a table by its name; ``backfill``: what
    this transaction wrote of it is loaded history."""
    if customers:
        await execute(tx, _MARK, customers=customers, matter=matter, backfill=backfill)


async def orders_are_read(tx: Tx) -> bool:
    """Whether a rule in force asks for orders."""
    asked: bool = (await fetch(tx, _ORDERS_READ))[0]["they_are"]
    return asked


async def prospects(tx: Tx, customers: Sequence[str]) -> list[str]:
    """Those of these customers who have bought nothing that stands."""
    return [row["customer_id"] for row in await fetch(tx, _PROSPECTS, customers=customers)] if customers else []


async def gather(tx: Tx) -> int:
    """Turns all marks into a queue in which everybody stands once; answers how many marks there were."""
    marks: int = (await fetch(tx, _GATHER))[0]["marks"]
    return marks


async def waiting(tx: Tx, customers: Sequence[str]) -> dict[str, bool]:
    """Those of these customers who stand in the queue, and whether for loaded history alone."""
    return {row[0]: row[1] for row in await fetch(tx, _WAITING, customers=customers)}


async def waited(tx: Tx) -> float:
    """For how many seconds somebody has stood in the queue, by the database's clock."""
    return float((await fetch(tx, _WAITED))[0]["seconds"])


async def take(tx: Tx, after: str, limit: int) -> list[Marked]:
    """The next customers of the queue by id, which leave it."""
    return sorted((Marked(*row) for row in await fetch(tx, _TAKE, after=after, limit=limit)), key=_by_id)
