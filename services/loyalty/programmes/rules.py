"""A programme's rules: which orders and lines each is about, and the look-up that finds those of an order."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.segments.domain import Place
from shared.contracts.orders import Order, OrderLine

Period = Literal["day", "week", "month", "year", "lifetime"]
StreakPeriod = Literal["week", "month"]
Scope = Literal["customer", "programme"]
On = Literal[
    "purchase", "first-purchase", "nth-purchase", "birthday", "anniversary", "complaint-resolved", "survey-answered",
    "activity", "customer-at-risk", "customer-returned", "referral",
]  # fmt: skip
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
EVALUATED: tuple[On, ...] = ("purchase", "first-purchase", "nth-purchase")
OCCASIONS: tuple[On, ...] = get_args(On)[len(EVALUATED) : -1]
"""What isn't a purchase, nor a referral."""
_PERIODS: dict[Period, str] = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m", "year": "%Y", "lifetime": ""}
_MOST_SHEETS = 2048


@lru_cache(maxsize=4096)
def name_of(per: Period, day: date) -> str:
    """The name of the calendar period that a day of the house's zone lies in."""
    return day.strftime(_PERIODS[per])


def day_began(at: datetime, zone: ZoneInfo) -> datetime:
    """When the day of the house's zone began that ``at`` lies in, in UTC."""
    return datetime.combine(at.astimezone(zone).date(), time(), zone).astimezone(UTC)


class Cap(msgspec.Struct, frozen=True):
    """The most that is given in a calendar period of the house's zone: to one customer, or to all of them together."""

    points: int
    per: Period
    scope: Scope = "customer"


class Nth(NamedTuple):
    """The n-th purchase of a calendar period."""

    n: int
    per: Period


class Streak(NamedTuple):
    """At least n calendar periods in a row with a purchase, the order's own the last."""

    n: int
    per: StreakPeriod


class When(msgspec.Struct, frozen=True):
    """Which orders a rule is about, and which of their lines. What isn't named, matches.

    ``weekdays`` from Monday 0, ``since`` and ``until`` (the day after the last) are days of the house's zone; ``least``
    is what was paid for the order at the least, in minor units; ``tiers``: one of them was held when it was placed;
    ``segments``: the customer was in one of them.
    """

    categories: frozenset[str] = frozenset()
    skus: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    weekdays: frozenset[int] = frozenset()
    since: date | None = None
    until: date | None = None
    least: int = 0
    tiers: frozenset[str] = frozenset()
    segments: frozenset[Place] = frozenset()
    streak: Streak | None = None

    def lines_of(self, order: Order) -> Sequence[OrderLine]:
        """The lines of an order that it is about, whatever holds of the order."""
        if not self.categories and not self.skus:
            return order.lines
        return [
            line
            for line in order.lines
            if (not self.categories or line.category in self.categories) and (not self.skus or line.sku in self.skus)
        ]

    def is_about(self, day: date, channel: str, store: str | None) -> bool:
        """Whether it is about what is bought on that day, in that channel and store."""
        return (
            (not self.channels or channel in self.channels)
            and (not self.stores or store in self.stores)
            and (not self.weekdays or day.weekday() in self.weekdays)
            and (self.since is None or self.since <= day)
            and (self.until is None or day < self.until)
        )


ALWAYS = When()


class Rule(msgspec.Struct, frozen=True):
    """What an order earns beside the base: ``extra`` ten-thousandths of the matching lines' base, a bonus, or points
    for each piece of the matching lines. From ``holdout`` percent of the customers it is kept.

    Of the rules of a ``group`` that give an order something, the one that gives most does, the first of equals.
    """

    id: str
    on: On
    when: When = ALWAYS
    extra: int = 0
    bonus: int = 0
    per_unit: int = 0
    nth: Nth | None = None
    cap: Cap | None = None
    group: str | None = None
    holdout: int = 0


class _Sheet(NamedTuple):
    """The places of the rules that may be about an order of a day, channel and store."""

    of_all: tuple[int, ...]
    by_category: dict[str, list[int]]
    by_sku: dict[str, list[int]]


class RuleBook:
    """The rules in their order, and where each may apply: one that can't be about an order isn't looked at.

    ``caps``: those of a customer, by rule.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self.caps = {rule.id: rule.cap for rule in rules if rule.cap and rule.cap.scope == "customer"}
        self._sheets: dict[tuple[date, str, str | None], _Sheet] = {}

    def about(self, order: Order, day: date) -> Iterator[tuple[Rule, Sequence[OrderLine]]]:
        """The rules whose lines, channel, store and day fit an order of that day, in their order, with these lines."""
        key = (day, order.channel, order.store)
        sheet = self._sheets.get(key) or self._sheet(key)
        lines: dict[int, list[OrderLine]] = {}
        if sheet.by_category or sheet.by_sku:
            for line in order.lines:
                for place in sheet.by_category.get(line.category or "", ()):
                    lines.setdefault(place, []).append(line)
                for place in sheet.by_sku.get(line.sku, ()):
                    categories = self.rules[place].when.categories
                    if not categories or line.category in categories:
                        lines.setdefault(place, []).append(line)
        for place in sorted((*sheet.of_all, *lines)) if lines else sheet.of_all:
            yield self.rules[place], lines.get(place, order.lines)

    def _sheet(self, key: tuple[date, str, str | None]) -> _Sheet:
        of_all: list[int] = []
        by_category: dict[str, list[int]] = {}
        by_sku: dict[str, list[int]] = {}
        for place, rule in enumerate(self.rules):
            when = rule.when
            if not when.is_about(*key):
                continue
            if when.skus:
                for sku in when.skus:
                    by_sku.setdefault(sku, []).append(place)
            elif when.categories:
                for category in when.categories:
                    by_category.setdefault(category, []).append(place)
            else:
                of_all.append(place)
        if len(self._sheets) >= _MOST_SHEETS:
            self._sheets.clear()
        return self._sheets.setdefault(key, _Sheet(tuple(of_all), by_category, by_sku))
