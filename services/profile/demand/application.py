"""What the members of a segment buy, and what of it has changed."""

import asyncio
from dataclasses import dataclass
from datetime import date, datetime

from services.profile.counting.application import Counting
from services.profile.demand import store
from services.profile.demand.domain import Change, Counted, change
from services.profile.periods import Period, period
from services.profile.purchases.domain import House
from shared.clock import Clock
from shared.db import Tx


@dataclass(frozen=True, slots=True)
class Demands:
    """The use case of this module."""

    counting: Counting
    house: House
    clock: Clock

    def period(self, since: date | None, until: date | None) -> Period:
        """The days asked for. Raises ValueError for none."""
        return period(since, until, self.house.day(self.clock.now()))

    async def as_of(self, tx: Tx) -> datetime | None:
        """How far the orders are counted."""
        return await self.counting.counted_at(tx)

    async def counted(self, tx: Tx, segment: str, place: str, asked: Period) -> Counted:
        """How many are in a class of a segment now, and what they have bought."""
        return await store.counted(tx, segment, place, asked)

    async def compared(self, counted: Counted) -> Change:
        """What has changed; outside the event loop, and no transaction need wait for it."""
        return await asyncio.to_thread(change, counted)
