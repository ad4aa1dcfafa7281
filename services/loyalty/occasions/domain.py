"""Occasions that aren't purchases, the rules that give something on them, and days that come once a year. Pure."""

import calendar
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.coupons.domain import Terms, read_terms
from services.loyalty.ledger.domain import Cause, Grant
from services.loyalty.programmes.rules import OCCASIONS, Cap, On, Period, name_of
from shared.contracts.customers import Birthday
from shared.lunar import lunar_date

PERIODS: tuple[Period, ...] = get_args(Period)
YEARLY: tuple[On, ...] = ("birthday", "anniversary")
_GRANTS: dict[On, Grant] = {
    "complaint-resolved": "compensation", "customer-at-risk": "gift", "customer-returned": "gift",
}  # fmt: skip
_DAY = timedelta(days=1)


class OccasionRule(msgspec.Struct, frozen=True):
    """What an occasion gives: points, or a coupon. ``kinds``: of activities, all where none is named."""

    id: str
    on: On
    bonus: int = 0
    coupon: Terms | None = None
    kinds: frozenset[str] = frozenset()
    cap: Cap | None = None

    @property
    def grant(self) -> Grant:
        """As what its points are given."""
        return _GRANTS.get(self.on, "occasion")


class Yearly(msgspec.Struct, frozen=True):
    """A day of every year, solar or lunar."""

    month: int
    day: int
    is_lunar: bool = False
    leap: bool = False

    @classmethod
    def of(cls, birthday: Birthday) -> "Yearly":
        """A birthday."""
        return cls(birthday.month, birthday.day, birthday.calendar == "lunar", birthday.leap_month)

    @classmethod
    def read(cls, name: str) -> "Yearly":
        """What ``name`` says."""
        kind, _, day = name.partition(":")
        month, _, number = day.removeprefix("L").partition("-")
        return cls(int(month), int(number), kind == "lunar", day.startswith("L"))

    @property
    def name(self) -> str:
        """``solar:02-29``, ``lunar:08-15``, ``lunar:L06-01``."""
        return f"{'lunar' if self.is_lunar else 'solar'}:{'L' if self.leap else ''}{self.month:02d}-{self.day:02d}"

    def of_year(self, year: int) -> date:
        """Its date in a year of its calendar; where a month hasn't so many days, the last. Raises ValueError."""
        if self.is_lunar:
            return lunar_date(year, self.month, self.day, leap=self.leap)
        return date(year, self.month, min(self.day, calendar.monthrange(year, self.month)[1]))

    def from_day(self, first: date) -> "Celebrated | None":
        """The first time on or after a day; None where the lunar table ends."""
        for year in range(first.year - 1, first.year + 2):
            try:
                day = self.of_year(year)
            except ValueError:
                continue
            if day >= first:
                return Celebrated(self.name, year, day)
        return None


class Celebrated(msgspec.Struct, frozen=True):
    """A yearly day as it came: ``name``'s in ``year`` of its calendar."""

    name: str
    year: int
    day: date

    def at(self, zone: ZoneInfo) -> datetime:
        """When it begins there, in UTC."""
        return datetime.combine(self.day, time(), zone).astimezone(UTC)

    def repeats(self, other: "Celebrated") -> bool:
        """Whether it is the same over again: of the same year, or, where the day was changed between, of the same
        calendar year. An unchanged lunar day may come twice in one, and not in the next."""
        if self.name == other.name:
            return self.year == other.year
        return self.day.year == other.day.year


class Occasion(msgspec.Struct, frozen=True):
    """Something that happened to a customer. ``token``: of what, the same whenever it is told again; ``day``: of the
    house, or the yearly day's own; ``kind``: of an activity."""

    on: On
    token: str
    customer_id: str
    occurred_at: datetime
    day: date
    cause: Cause
    rules: tuple[OccasionRule, ...]
    version: int
    currency: str
    expires_at: datetime | None
    celebrated: Celebrated | None = None


class Line(msgspec.Struct, frozen=True):
    """What a rule gave an account on an occasion: ``points`` of the ``wanted``, as the cap left them."""

    token: str
    rule: str
    account_id: int
    occurred_at: datetime
    day: date
    version: int
    wanted: int
    points: int

    @property
    def grant_id(self) -> str:
        """The same whenever the occasion is told again."""
        return f"{self.rule}:{self.token}"


def applying(rules: Iterable[OccasionRule], on: On, kind: str | None = None) -> tuple[OccasionRule, ...]:
    """The rules on such an occasion, in their order."""
    return tuple(rule for rule in rules if rule.on == on and (not rule.kinds or kind in rule.kinds))


def trimmed(lines: Iterable[Line], cap_of: Callable[[Line], Cap | None]) -> Iterator[Line]:
    """The lines of one account and rule as the caps of their versions leave them, in the order in which they happened,
    not in that of their arrival."""
    used: dict[tuple[Period, str], int] = defaultdict(int)
    for line in sorted(lines, key=lambda line: (line.occurred_at, line.token)):
        cap, points = cap_of(line), line.wanted
        if cap is not None:
            points = min(points, max(0, cap.points - used[cap.per, name_of(cap.per, line.day)]))
        for per in PERIODS:
            used[per, name_of(per, line.day)] += points
        yield msgspec.structs.replace(line, points=points)


def begin_of(per: Period, day: date) -> date:
    """The first day of the calendar period that a day lies in."""
    match per:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)
        case "lifetime":
            return date.min


def last_until(yearly: Yearly, first: date, zone: ZoneInfo, now: datetime) -> tuple[Celebrated | None, datetime | None]:
    """Of the times from a day on the last one that has begun by now, and when the next one begins."""
    last, following = None, yearly.from_day(first)
    while following is not None and following.at(zone) <= now:
        last, following = following, yearly.from_day(following.day + _DAY)
    return last, following.at(zone) if following else None


def is_occasion(fields: Mapping[str, Any]) -> bool:
    """Whether a rule as it was posted gives something on an occasion. Older versions may have others."""
    effect = fields["effect"]
    gives = effect.keys() == {"bonus"} or effect.keys() == {"coupon"}
    return fields["on"] in OCCASIONS and gives and fields.get("when", {}).keys() <= {"kind"}


def read_occasions(listed: Sequence[Mapping[str, Any]]) -> tuple[OccasionRule, ...]:
    """The rules on occasions of a stored version, in their order."""
    wanted = sorted((fields for fields in listed if is_occasion(fields)), key=lambda rule: (rule["order"], rule["id"]))
    return tuple(_rule(fields) for fields in wanted)


def _rule(fields: Mapping[str, Any]) -> OccasionRule:
    effect, cap = fields["effect"], fields.get("cap")
    return OccasionRule(
        id=fields["id"],
        on=fields["on"],
        bonus=effect.get("bonus", 0),
        coupon=read_terms(effect["coupon"]) if "coupon" in effect else None,
        kinds=frozenset(fields.get("when", {}).get("kind", ())),
        cap=Cap(cap["points"], cap["per"]) if cap else None,
    )
