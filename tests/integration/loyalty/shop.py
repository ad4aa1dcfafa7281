"""Loyalty on a real database, fed like by its consumer but for the broker."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.accounts.application import Accounts
from services.loyalty.consumers import use_cases
from services.loyalty.earning.application import Earning
from services.loyalty.ledger import reading
from services.loyalty.ledger.application import SERVICE, Sweeper
from services.loyalty.ledger.reading import Balance
from services.loyalty.ledger.verification import Verification, verify
from services.loyalty.programmes.application import Programmes
from services.loyalty.tiers.application import TierKeeper
from shared.clock import VirtualClock
from shared.db import Database, fetch
from shared.messaging.intake import Intake
from shared.messaging.records import Record
from tests.kit.builders import NOW

ZONE = ZoneInfo("Asia/Taipei")


@dataclass(frozen=True, slots=True)
class Shop:
    """The service's parts, wired as in its main."""

    db: Database
    clock: VirtualClock
    programmes: Programmes
    accounts: Accounts
    intake: Intake
    sweeper: Sweeper
    tiers: TierKeeper

    @classmethod
    def of(cls, db: Database, now: datetime = NOW) -> "Shop":
        """On a migrated database; the clock stands at ``now``."""
        clock = VirtualClock(now)
        programmes = Programmes(clock, "TWD")
        earning = Earning(clock, programmes, ZONE)
        return cls(
            db=db,
            clock=clock,
            programmes=programmes,
            accounts=Accounts(clock, programmes, earning),
            intake=Intake(SERVICE, use_cases(earning), db, clock, after_commit=_nothing),
            sweeper=Sweeper(db, clock, _nothing),
            tiers=TierKeeper(db, clock, programmes, _nothing),
        )

    async def take(self, *records: Record) -> None:
        """One batch."""
        await self.intake.take(records)
        assert not self.intake.counts["parked"], "nothing fails unexpectedly"

    async def post(self, **changes: Any) -> int:
        """A programme version like the first one but for the changes; its number."""
        async with self.db.transaction() as tx:
            body = (await self.programmes.one(tx, 1)).body if await self.programmes.known(tx) else {}
            return (await self.programmes.post(tx, {**body, **changes})).version

    async def balance(self, customer: str, at: datetime | None = None) -> Balance:
        """A customer's balance."""
        async with self.db.transaction() as tx:
            account = await reading.account_of(tx, customer)
            assert account is not None, f"loyalty has never heard of {customer}"
            return await reading.balance_at(tx, account, at or self.clock.now())

    async def tier(self, customer: str) -> str | None:
        """The name of the tier held now."""
        async with self.db.transaction() as tx:
            account = await reading.account_of(tx, customer)
            assert account is not None, f"loyalty has never heard of {customer}"
            standing = (await self.accounts.view(tx, account)).standing
            return standing.name if standing else None

    async def state_hash(self) -> str:
        """The hash of everything that arrival must not matter to."""
        async with self.db.transaction() as tx:
            return await self.accounts.state_hash(tx, self.clock.now())

    async def verified(self) -> Verification:
        """The ledger's proof."""
        return await verify(self.db)

    async def published(self, *topics: str) -> list[dict[str, Any]]:
        """The data of what waits in the outbox, of these topics, each with its topic."""
        async with self.db.transaction() as tx:
            rows = await fetch(tx, "SELECT topic, value FROM outbox ORDER BY id")
        found = [{**msgspec.json.decode(row["value"])["data"], "topic": row["topic"]} for row in rows]
        return [data for data in found if data["topic"] in topics]

    async def live_until(self, at: datetime) -> None:
        """Moves the clock to ``at``, doing on the way what falls due, when it falls due."""
        while due := await self._next(at):
            self.clock.set(max(due, self.clock.now()))
            for job in (self.sweeper, self.tiers):
                await job.run()
        self.clock.set(at)

    async def _next(self, until: datetime) -> datetime | None:
        dues: Sequence[datetime | None] = [await self.sweeper.next_due(), await self.tiers.next_due()]
        return min((due for due in dues if due is not None and due <= until), default=None)


def _nothing() -> None:
    return None
