"""The job that writes down what time has done to lots."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from services.loyalty.ledger import lots_store, store
from services.loyalty.ledger.application import BATCH, JOBS, SERVICE, Journal, lock_accounts
from services.loyalty.ledger.domain import Cause
from services.loyalty.ledger.persons import settle_persons
from shared.clock import Clock
from shared.db import Database
from shared.messaging import merges, outbox


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Writes down releases and expiries that are true already. Balances never wait for it."""

    db: Database
    clock: Clock
    wake: Callable[[], None]

    async def run(self) -> int:
        """Everything due by now, in transactions of up to 1000 lots. Answers the number of lots moved."""
        moved = 0
        while found := await self._batch():
            moved += found
            self.wake()
        return moved

    async def next_due(self) -> datetime | None:
        """The instant at which the next lot falls due."""
        async with self.db.transaction() as tx:
            return await lots_store.next_due(tx)

    async def _batch(self) -> int:
        now = self.clock.now()
        async with self.db.transaction() as tx:
            await merges.share(tx)
            due = await lots_store.due_accounts(tx, now, BATCH)
            accounts = await lock_accounts(tx, await store.persons_of(tx, due))
            lots = await lots_store.due_lots(tx, list(accounts), now)
            journal = Journal(now)
            for lot in lots:
                journal.sweep_lot(accounts[lot.account_id], lot)
            await settle_persons(tx, journal, accounts.values(), lambda _: Cause(f"{JOBS}/sweep", "repaid", now))
            await journal.write(tx, accounts.values())
            await outbox.append(tx, SERVICE, journal.events, now)
        return len(lots)
