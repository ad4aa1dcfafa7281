"""What the members of a segment buy, and what of it has changed."""

from dataclasses import dataclass
from datetime import date

from services.profile.demand import store
from services.profile.demand.domain import Change, change
from services.profile.periods import Period, period
from services.profile.purchases.domain import House
from shared.clock import Clock
from shared.db import Tx


@dataclass(frozen=True, slots=True)
class Demands:
    """The use case of this module."""

    house: House
    clock: Clock

    def period(self, since: date | None, until: date | None) -> Period:
        """The days asked for. Raises ValueError for none."""
        return period(since, until, self.house.day(self.clock.now()))

    async def of(self, tx: Tx, segment: str, place: str, asked: Period) -> tuple[int, Change]:
        """How many are in a class of a segment now, and how they have bought."""
        said = store.asked(segment, place, asked)
        categories, channels = await store.categories(tx, said), await store.channels(tx, said)
        found = change(await store.periods(tx, said), categories, channels, await store.ranks(tx, said))
        return await store.members(tx, said), found
