"""How a customer buys, of all facts of this moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import msgspec

from services.profile.patterns.domain import Comparison, Pattern, bought, compare, pattern
from services.profile.periods import Period, period
from services.profile.purchases.domain import House
from services.profile.rates.application import rates_of
from shared.clock import Clock
from shared.db import Tx
from shared.messaging import facts


class Told(msgspec.Struct, frozen=True):
    """A period and the one before."""

    period: Period
    now: Pattern
    before: Pattern
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Patterns:
    """The use case of this module."""

    house: House
    clock: Clock

    def period(self, since: date | None, until: date | None) -> Period:
        """The days asked for. Raises ValueError for none."""
        return period(since, until, self.house.day(self.clock.now()))

    async def of(self, tx: Tx, ids: Sequence[str], asked: Period) -> Told:
        """For the person of these ids."""
        orders = [order for found in (await facts.orders_of(tx, ids)).values() for order in found]
        rates = await rates_of(tx, orders, self.house)
        now, before = (bought(orders, self.house, span, rates) for span in (asked, asked.before))
        return Told(asked, pattern(now, self.house), pattern(before, self.house), compare(before, now, self.house))
