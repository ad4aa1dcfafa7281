"""Keeps the orders as they stand, and what is bought together, up with the facts: behind the purchases, not in them.

A purchase writes nothing here. From time to time all orders of which a fact was recorded since are made again of all
their facts, so versions, returns and cancellations need no rules of their own, and the counts are those of a recount.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.profile.counting import store
from services.profile.counting.domain import basket, row
from services.profile.purchases.domain import House
from services.profile.rates.application import forget, rates_of
from services.profile.segments.application import note_counted, orders_are_read
from shared.clock import Clock
from shared.contracts.orders import Order
from shared.db import Database, Row, Tx
from shared.messaging import facts

_BATCH = 500
_AT_ONCE, _UNDER_LOAD = 1000, 100


async def count_again(tx: Tx, orders: Sequence[str]) -> None:
    """Has these orders made again, as if something had been recorded of them."""
    await store.stale(tx, orders)


@dataclass(frozen=True, slots=True)
class Counting:
    """The job and what it tells."""

    db: Database
    clock: Clock
    house: House

    async def run(self) -> int:
        """Makes some of the orders again of which something was recorded by transactions that have ended; answers how
        many: 0 when the counts are those of a recount.

        So many at a time that it is soon over, and few while a history is being loaded: that comes first.
        """
        now = self.clock.now()
        async with self.db.transaction() as tx:
            marked = await store.mark(tx)
        room = _AT_ONCE if marked < _AT_ONCE else _UNDER_LOAD
        total = 0
        while total < room and (made := await self._some(min(_BATCH, room - total))):
            total += made
        async with self.db.transaction() as tx:
            await store.settle(tx, now)
        return total

    async def catch_up(self) -> None:
        """Counts until nothing is left of what was recorded before."""
        while await self.run():
            pass

    async def next_due(self) -> datetime | None:
        """Never: what there is to count depends on what was recorded, not on the clock, which need not wait for it."""
        return None

    async def counted_at(self, tx: Tx) -> datetime | None:
        """When nothing was left to count; None: never yet."""
        return await store.counted_at(tx)

    async def _some(self, most: int) -> int:
        async with self.db.transaction() as tx:
            stale = await store.take(tx, most)
            if not stale:
                return 0
            orders = list(stale)
            standing = await facts.orders(tx, orders)
            counted = await store.counted(tx, orders)
            await self._tell(tx, stale, standing, counted)
            known = {row["order_id"]: row["skus"] for row in counted}
            now = {order.order_id: basket(order) for order in standing}
            changed = [order for order in orders if known.get(order, []) != now.get(order, [])]
            rates = await rates_of(tx, standing, self.house)
            await forget(tx, set(orders) - {order.order_id for order in standing})
            await store.replace(tx, orders, [row(order, self.house, rates) for order in standing], changed)
            return len(orders)

    async def _tell(
        self, tx: Tx, stale: Mapping[str, bool | None], standing: Sequence[Order], counted: Sequence[Row]
    ) -> None:
        """Marks whose these orders were and are, by whether what is new of them is loaded; where nothing is new, by
        whether the order is."""
        if not await orders_are_read(tx):
            return
        live = await store.live(tx, [order for order, loaded in stale.items() if loaded is not False])
        owners = [(row["order_id"], row["customer_id"], row["backfill"]) for row in counted]
        owners += [(order.order_id, order.customer_id, order.backfill) for order in standing]
        quiet, told = set[str](), set[str]()
        for order, customer, backfill in owners:
            new = stale[order]
            loaded = order not in live and (backfill if new is None else new)
            (quiet if loaded else told).add(customer)
        await note_counted(tx, told, quiet)
