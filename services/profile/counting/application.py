"""Keeps the orders as they stand, and what is bought together, up with the facts: behind the purchases, not in them.

A purchase writes nothing here. From time to time all orders of which a fact was recorded since are made again of all
their facts, so versions, returns and cancellations need no rules of their own, and the counts are those of a recount.
"""

from dataclasses import dataclass
from datetime import datetime

from services.profile.counting import store
from services.profile.counting.domain import basket, row
from services.profile.purchases.domain import House
from shared.clock import Clock
from shared.db import Database, Tx
from shared.messaging import facts

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Counting:
    """The job and what it tells."""

    db: Database
    clock: Clock
    house: House

    async def run(self) -> int:
        """Counts everything recorded by transactions that have ended; answers how many orders were made again."""
        async with self.db.transaction() as tx:
            await store.mark(tx, self.clock.now())
        total = 0
        while made := await self._some():
            total += made
        return total

    async def next_due(self) -> datetime | None:
        """Now, where there is something to count."""
        async with self.db.transaction() as tx:
            return self.clock.now() if await store.pending(tx) else None

    async def counted_at(self, tx: Tx) -> datetime | None:
        """How far the counts go; None before the first run."""
        return await store.counted_at(tx)

    async def _some(self) -> int:
        async with self.db.transaction() as tx:
            orders = await store.take(tx, _BATCH)
            if not orders:
                return 0
            standing = await facts.orders(tx, orders)
            known = await store.baskets(tx, orders)
            now = {order.order_id: basket(order) for order in standing}
            changed = [order for order in orders if known.get(order, []) != now.get(order, [])]
            await store.replace(tx, orders, [row(order, self.house) for order in standing], changed)
            return len(orders)
