"""The jobs of redemptions."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from services.loyalty.ledger import reading
from services.loyalty.ledger.application import BATCH, JOBS, SERVICE
from services.loyalty.ledger.domain import Cause
from services.loyalty.ledger.purse import Wanted, open_purse
from services.loyalty.redemptions import store
from services.loyalty.rewards import application as rewards
from shared.clock import Clock
from shared.contracts.rewards import RewardOverdue
from shared.contracts.types import Cause as CausedBy
from shared.db import Database
from shared.messaging import outbox
from shared.messaging.outbox import UNNUMBERED, Outgoing


@dataclass(frozen=True, slots=True)
class HoldKeeper:
    """Holds that have run out are written down, what is overdue is told once."""

    db: Database
    clock: Clock
    wake: Callable[[], None]

    async def expire(self) -> int:
        """Ends holds that have run out. Nobody waits for it: they count for nothing already."""
        ended = 0
        while due := await self._due():
            for hold_id in due:
                ended += await self.end(hold_id)
        return ended

    async def next_expiry(self) -> datetime | None:
        """When the next hold runs out."""
        async with self.db.transaction() as tx:
            return await reading.next_hold_due(tx)

    async def tell_overdue(self) -> int:
        """Publishes what should have been handed over by now, once each."""
        told = 0
        while True:
            now = self.clock.now()
            async with self.db.transaction() as tx:
                late = await store.tell_overdue(tx, now, BATCH)
                events = [
                    Outgoing(
                        RewardOverdue(
                            customer_id=row["customer_id"],
                            sequence=UNNUMBERED,
                            caused_by=CausedBy(source=f"{JOBS}/overdue", id=row["redemption_id"]),
                            occurred_at=row["due_at"],
                            redemption_id=row["redemption_id"],
                            reward_id=row["reward_id"],
                        )
                    )
                    for row in late
                ]
                await outbox.append(tx, SERVICE, events, now)
            told += len(late)
            if late:
                self.wake()
            if len(late) < BATCH:
                return told

    async def next_overdue(self) -> datetime | None:
        """When the next becomes overdue."""
        async with self.db.transaction() as tx:
            return await store.next_overdue(tx)

    async def end(self, hold_id: str) -> int:
        """Ends one of them."""
        now = self.clock.now()
        async with self.db.transaction() as tx:
            customer = await store.customer_of_hold(tx, hold_id)
            assert customer is not None, "an account is never deleted"
            # Opening the purse ends what has run out.
            purse = await open_purse(tx, Wanted(customer, Cause(f"{JOBS}/holds", hold_id, now)), now, erased=True)
            assert purse is not None, "its customer has this account"
            # Somebody may have committed it at the last instant, while this waited for the account.
            if any(hold.hold_id == hold_id for hold in purse.lapsed):
                await rewards.release(tx, hold_id)
            await outbox.append(tx, SERVICE, await purse.close(), now)
        self.wake()
        return 1

    async def _due(self) -> list[str]:
        async with self.db.transaction() as tx:
            return await reading.due_holds(tx, self.clock.now(), BATCH)
