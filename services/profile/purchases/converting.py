"""Counting the orders that waited for a rate: a job behind whoever states one."""

from dataclasses import dataclass
from datetime import datetime

from services.profile.counting.application import count_again
from services.profile.purchases.application import PurchaseHistory
from services.profile.rates.application import any_new, take_new
from services.profile.segments.application import note_loaded
from shared.clock import Clock
from shared.db import Database
from shared.messaging import facts, merges

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Converting:
    """The work of the job: in batches of orders, each a transaction of its own."""

    history: PurchaseHistory
    db: Database
    clock: Clock

    async def run(self) -> int:
        """Gives every order that waits for a rate that was stated its own, and folds its customers again; how many."""
        total = 0
        while (done := await self._some()) is not None:
            total += done
        return total

    async def next_due(self) -> datetime | None:
        """Now where a rate is new, else never: only stating one makes work."""
        async with self.db.transaction() as tx:
            return self.clock.now() if await any_new(tx) else None

    async def _some(self) -> int | None:
        async with self.db.transaction() as tx:
            taken = await take_new(tx, _BATCH)
            if not taken:
                return None if taken is None else 0
            orders = await facts.orders(tx, taken)
            groups = await merges.groups_of(tx, sorted({order.customer_id for order in orders}))
            # Whose orders among these are all of loaded history moves in silence.
            loaded: dict[str, bool] = {}
            for order in orders:
                who = groups.survivor(order.customer_id)
                loaded[who] = loaded.get(who, True) and order.backfill
            await note_loaded(tx, (who for who, alone in loaded.items() if alone))
            await self.history.refold(tx, loaded)
            await count_again(tx, taken)
            return len(taken)
