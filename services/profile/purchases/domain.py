"""What a customer's purchases add up to: integers and days, so that increment and fold agree exactly."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from functools import lru_cache, reduce
from zoneinfo import ZoneInfo

import msgspec

from services.profile.rates.domain import NO_RATES, Rates, converted
from shared.contracts.orders import Order


class House(msgspec.Struct, frozen=True):
    """What money is summed in, and whose days are counted."""

    currency: str
    time_zone: str

    def day(self, at: datetime) -> date:
        """The calendar day of an instant in the house's zone."""
        return at.astimezone(_zone(self.time_zone)).date()

    def start_of(self, day: date) -> datetime:
        """The instant in UTC at which a day begins in the house's zone."""
        return datetime.combine(day, time(), _zone(self.time_zone)).astimezone(UTC)


class Foreign(msgspec.Struct, frozen=True):
    """Orders in a currency without a rate: counted, their net in minor units of their own."""

    orders: int
    minor: int


class Worth(msgspec.Struct, frozen=True):
    """What was paid for an order and what of it was kept, in minor units of the house's currency."""

    total: int
    net: int


class Purchases(msgspec.Struct, frozen=True):
    """The orders of one customer that stand (``Order.counts``), folded.

    ``spend``: minor units of the house currency, net of returns; ``elsewhere``: what has no rate, by currency.
    ``days``: distinct days with a purchase; ``previous_day`` is the one before ``last_day``.
    ``last_*`` is the newest order's place among the facts.
    """

    orders: int = 0
    spend: int = 0
    days: int = 0
    first_day: date | None = None
    previous_day: date | None = None
    last_day: date | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None
    last_source: str | None = None
    last_event_id: str | None = None
    elsewhere: Mapping[str, Foreign] = {}

    def precedes(self, order: Order) -> bool:
        """Whether the order is newer than every order in here, so that it may be applied on top."""
        if self.last_at is None:
            return True
        return order.sort_key > (self.last_at, self.last_source, self.last_event_id)


NOTHING = Purchases()


def apply(state: Purchases, order: Order, house: House, rates: Rates = NO_RATES) -> Purchases:
    """One more order, newer than those before; what doesn't stand changes nothing."""
    if not order.counts:
        return state
    at = order.occurred_at
    day = house.day(at)
    same_day = day == state.last_day
    spend, elsewhere = state.spend, state.elsewhere
    # Nearly every order is in the house's currency: asked here, since this is the way of every purchase.
    if order.currency == house.currency:
        spend += order.net
    elif worth := in_house(order, house, rates):
        spend += worth.net
    else:
        known = elsewhere.get(order.currency, Foreign(0, 0))
        elsewhere = {**elsewhere, order.currency: Foreign(known.orders + 1, known.minor + order.net)}
    return Purchases(
        orders=state.orders + 1,
        spend=spend,
        days=state.days if same_day else state.days + 1,
        first_day=state.first_day or day,
        previous_day=state.previous_day if same_day else state.last_day,
        last_day=day,
        first_at=state.first_at or at,
        last_at=at,
        last_source=order.source,
        last_event_id=order.event_id,
        elsewhere=elsewhere,
    )


def fold(orders: Iterable[Order], house: House, rates: Rates = NO_RATES) -> Purchases:
    """All orders of a customer, sorted by their ``sort_key``."""
    return reduce(lambda state, order: apply(state, order, house, rates), orders, NOTHING)


def in_house(order: Order, house: House, rates: Rates) -> Worth | None:
    """An order in the house's currency, by its own rate where it is in another; None without one.

    What is paid and what is kept are converted each as a whole and rounded half to even, so no sequence of returns
    accumulates roundings.
    """
    if order.currency == house.currency:
        return Worth(order.total, order.net)
    rate = rates.get(order.order_id)
    if rate is None:
        return None
    total, net = (converted(minor, rate, house.currency) for minor in (order.total, order.net))
    return None if total is None or net is None else Worth(total, net)


@lru_cache(maxsize=8)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
