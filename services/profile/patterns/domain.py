"""How a customer buys in a period: what, where, when, how much at a time; and what has changed since the one before."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

import msgspec

from services.profile.patterns import significance
from services.profile.periods import Period
from services.profile.purchases.domain import House, in_house
from services.profile.rates.domain import NO_RATES, Rates
from shared.contracts.orders import Order, spread

LEVEL = 0.05
"""A difference is called significant below this probability of its being chance."""


class Bought(msgspec.Struct, frozen=True):
    """An order that stands, on the house's clock. ``by_category``: what was kept, in minor units net of returns.

    ``currency`` is the house's where the order has a rate; the categories' shares sum to ``net``.
    """

    at: datetime
    channel: str
    currency: str
    net: int
    by_category: Mapping[str | None, int]

    @property
    def day(self) -> date:
        return self.at.date()


class Group(msgspec.Struct, frozen=True):
    """A part of the purchases. ``spend`` in minor units; an order counts in every category of which it has a line."""

    name: str | None
    orders: int
    spend: int
    share: float | None
    average_basket: int | None


class Pattern(msgspec.Struct, frozen=True):
    """A period's purchases. Money in minor units of the house's currency; ``unconverted``: what has no rate.

    ``median_gap_days``: between days with a purchase. ``weekdays`` from Monday, ``hours`` from midnight: orders.
    """

    orders: int
    days: int
    spend: int
    average_basket: int | None
    median_gap_days: float | None
    categories: tuple[Group, ...]
    channels: tuple[Group, ...]
    weekdays: tuple[int, ...]
    hours: tuple[int, ...]
    unconverted: Mapping[str, int]


class Tested(msgspec.Struct, frozen=True):
    """A probability of the difference being chance; None where there is too little to tell."""

    test: str
    p_value: float | None

    @property
    def significant(self) -> bool | None:
        return None if self.p_value is None else self.p_value < LEVEL


class Shift(msgspec.Struct, frozen=True):
    """A category's share of the spend, before and now."""

    category: str | None
    before: float
    now: float


class Comparison(msgspec.Struct, frozen=True):
    """What has changed, the greatest shift of a category first."""

    frequency: Tested
    basket: Tested
    categories: Tested
    shifts: tuple[Shift, ...]


def bought(orders: Iterable[Order], house: House, period: Period, rates: Rates = NO_RATES) -> list[Bought]:
    """The orders of a period that stand, by time."""
    zone = ZoneInfo(house.time_zone)
    found = []
    for order in orders:
        if order.counts and period.since <= house.day(order.occurred_at) < period.until:
            by_category: Counter[str | None] = Counter()
            for line in order.lines:
                if line.returned_quantity < line.quantity:
                    by_category[line.category] += line.paid - line.returned
            at = order.occurred_at.astimezone(zone)
            worth = in_house(order, house, rates)
            if worth is None or order.currency == house.currency:
                found.append(Bought(at, order.channel, order.currency, order.net, by_category))
            else:
                shares = spread(worth.net, list(by_category.values()))
                by_house = dict(zip(by_category, shares, strict=True))
                found.append(Bought(at, order.channel, house.currency, worth.net, by_house))
    return sorted(found, key=lambda one: one.at)


def pattern(found: Sequence[Bought], house: House) -> Pattern:
    """The figures of a period."""
    ours = [one for one in found if one.currency == house.currency]
    spend = sum(one.net for one in ours)
    days = sorted({one.day for one in found})
    gaps = [(after - before).days for before, after in pairwise(days)]
    weekdays, hours = Counter(one.at.weekday() for one in found), Counter(one.at.hour for one in found)
    unconverted: Counter[str] = Counter()
    for one in found:
        if one.currency != house.currency:
            unconverted[one.currency] += one.net
    return Pattern(
        orders=len(found),
        days=len(days),
        spend=spend,
        average_basket=_mean(spend, len(ours)),
        median_gap_days=float(median(gaps)) if gaps else None,
        categories=_groups(found, house, spend, lambda one: one.by_category),
        channels=_groups(found, house, spend, lambda one: {one.channel: one.net}),
        weekdays=tuple(weekdays[day] for day in range(7)),
        hours=tuple(hours[hour] for hour in range(24)),
        unconverted=dict(sorted(unconverted.items())),
    )


def compare(before: Sequence[Bought], now: Sequence[Bought], house: House) -> Comparison:
    """The period against the one before, of the same length: how often, how much at a time, of which categories."""
    earlier, later = (pattern(found, house) for found in (before, now))
    amounts = [[one.net for one in found if one.currency == house.currency] for found in (before, now)]
    cases = [Counter(name or "" for one in found for name in one.by_category) for found in (before, now)]
    shares = [{group.name: group.share or 0.0 for group in told.categories} for told in (earlier, later)]
    shifts = [
        Shift(name, shares[0].get(name, 0.0), shares[1].get(name, 0.0)) for name in shares[0].keys() | shares[1].keys()
    ]
    return Comparison(
        Tested("conditional binomial, Przyborowski and Wilenski (1940)", significance.frequency(len(before), len(now))),
        Tested("rank sum, Mann and Whitney (1947)", significance.basket(*amounts)),
        Tested("chi-squared test of homogeneity, Pearson (1900)", significance.shares(*cases)),
        tuple(sorted(shifts, key=lambda shift: (-abs(shift.now - shift.before), shift.category or ""))),
    )


def _groups(
    found: Sequence[Bought], house: House, whole: int, parts: Callable[[Bought], Mapping[str | None, int]]
) -> tuple[Group, ...]:
    orders: Counter[str | None] = Counter()
    priced: Counter[str | None] = Counter()
    spend: Counter[str | None] = Counter()
    for one in found:
        for name, net in parts(one).items():
            orders[name] += 1
            if one.currency == house.currency:
                priced[name] += 1
                spend[name] += net
    names = sorted(orders, key=lambda name: (-spend[name], name or ""))
    return tuple(
        Group(name, orders[name], spend[name], spend[name] / whole if whole else None, _mean(spend[name], priced[name]))
        for name in names
    )


def _mean(whole: int, count: int) -> int | None:
    """Rounded half up, in minor units."""
    return (2 * whole + count) // (2 * count) if count else None
