"""A programme version as the rules see it: integers, instants, and everything in the order it is applied."""

import calendar
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.privileges.domain import Privilege, read_privilege
from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.orders import Order, OrderLine
from shared.contracts.types import Money, scaled

FACTOR_PLACES = 4
ONE = 10**FACTOR_PLACES
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Period = Literal["day", "week", "month", "year", "lifetime"]
On = Literal["purchase", "first-purchase", "birthday", "complaint-resolved"]
Calendar = Literal["year", "quarter"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
EVALUATED: tuple[On, ...] = ("purchase", "first-purchase")
GREENWICH = ZoneInfo("UTC")
# And a day, by which a zone may have moved.
_LONGEST: dict[Calendar, timedelta] = {"year": timedelta(days=367), "quarter": timedelta(days=93)}
_PERIODS: dict[Period, str] = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m", "year": "%Y", "lifetime": ""}


class Cap(msgspec.Struct, frozen=True):
    """The most that a rule gives one customer in a calendar period of the house's zone."""

    points: int
    per: Period

    def period(self, at: datetime, zone: ZoneInfo) -> str:
        """The name of the period that ``at`` lies in."""
        return at.astimezone(zone).strftime(_PERIODS[self.per])


class When(msgspec.Struct, frozen=True):
    """Which orders a rule is about, and which of their lines. What isn't named, matches.

    ``weekdays`` from Monday 0, ``since`` and ``until`` (the day after the last) are days of the house's zone; ``least``
    is what was paid for the order at the least, in minor units.
    """

    categories: frozenset[str] = frozenset()
    skus: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    weekdays: frozenset[int] = frozenset()
    since: date | None = None
    until: date | None = None
    least: int = 0

    def lines_of(self, order: Order, zone: ZoneInfo) -> Sequence[OrderLine]:
        """The lines of an order that the rule is about, as it was bought; none where it isn't about the order."""
        if self is _ALWAYS:
            return order.lines
        if not self._is_about(order, zone):
            return ()
        return [
            line
            for line in order.lines
            if (not self.categories or line.category in self.categories) and (not self.skus or line.sku in self.skus)
        ]

    def _is_about(self, order: Order, zone: ZoneInfo) -> bool:
        if self.channels and order.channel not in self.channels:
            return False
        if (self.stores and order.store not in self.stores) or order.total < self.least:
            return False
        if not (self.weekdays or self.since or self.until):
            return True
        day = order.occurred_at.astimezone(zone).date()
        return (
            (not self.weekdays or day.weekday() in self.weekdays)
            and (self.since is None or self.since <= day)
            and (self.until is None or day < self.until)
        )


_ALWAYS = When()


class Rule(msgspec.Struct, frozen=True):
    """What an order earns beside the base: ``extra`` ten-thousandths of the matching lines' base, or a bonus.

    Of the rules of a ``group`` that give an order something, the one that gives most does, the first of equals.
    """

    id: str
    on: On
    when: When = _ALWAYS
    extra: int = 0
    bonus: int = 0
    cap: Cap | None = None
    group: str | None = None


class Tier(msgspec.Struct, frozen=True):
    """Reached by ``spend`` minor units, ``points`` and ``orders`` within ``window``, and after ``tenure``.

    What is 0 isn't asked for. With ``calendar`` the period of the house's zone is the window, and ``window`` as long as
    the longest. ``extra`` as in a rule, on the whole order.
    """

    name: str
    spend: int
    window: timedelta
    extra: int = 0
    points: int = 0
    orders: int = 0
    tenure: timedelta = timedelta()
    calendar: Calendar | None = None
    privileges: tuple[Privilege, ...] = ()
    text: dict[str, str] = {}

    @property
    def by_spend_alone(self) -> bool:
        """Whether nothing but spend is asked for."""
        return not (self.points or self.orders or self.tenure)


class Programme(msgspec.Struct, frozen=True):
    """One immutable version. ``award`` points per ``per`` minor units; tiers from the lowest to the highest.

    ``warning``: so long before it a fall is told; ``zone``: the house's, of calendar windows.
    """

    version: int
    name: str
    currency: str
    active_from: datetime
    posted_at: datetime
    award: int
    per: int
    pending: timedelta
    pending_from_delivery: timedelta | None = None
    expiry_months: int | None = None
    rules: tuple[Rule, ...] = ()
    tiers: tuple[Tier, ...] = ()
    grace: timedelta = timedelta()
    warning: timedelta = timedelta()
    backfill_earns: bool = False
    zone: ZoneInfo = GREENWICH

    @property
    def in_force_from(self) -> datetime:
        """From when it can decide anything: its start, or its posting where that came later."""
        return max(self.active_from, self.posted_at)

    def available_from(self, occurred_at: datetime, delivered_at: datetime | None) -> datetime:
        """When the return window ends: after the delivery where it is known, else after the purchase."""
        if delivered_at is not None and self.pending_from_delivery is not None:
            return max(occurred_at, delivered_at + self.pending_from_delivery)
        return occurred_at + self.pending

    def expires_at(self, occurred_at: datetime, zone: ZoneInfo) -> datetime | None:
        """The same wall-clock time that many calendar months later, on the month's last day at the latest."""
        if self.expiry_months is None:
            return None
        local = occurred_at.astimezone(zone)
        years, month = divmod(local.month - 1 + self.expiry_months, 12)
        year, month = local.year + years, month + 1
        day = min(local.day, calendar.monthrange(year, month)[1])
        return local.replace(year=year, month=month, day=day).astimezone(UTC)


def in_force(versions: Sequence[Programme], at: datetime) -> Programme | None:
    """The version that judges what happened ``at``: latest ``active_from``, the later version on a tie."""
    found: Programme | None = None
    for version in versions:
        if version.active_from <= at and (
            found is None or (version.active_from, version.version) > (found.active_from, found.version)
        ):
            found = version
    return found


def read_programme(
    version: int, posted_at: datetime, body: bytes, zone: ZoneInfo = GREENWICH
) -> Programme:
    """The version in a stored body, which was validated when it was posted. ``zone``: the house's."""
    fields: dict[str, Any] = msgspec.json.decode(body)
    currency = fields["currency"]
    expiry = fields["expiry"]
    from_delivery = fields.get("pending_days_from_delivery")
    return Programme(
        version=version,
        name=fields["name"],
        currency=currency,
        active_from=datetime.fromisoformat(fields["active_from"]),
        posted_at=posted_at,
        award=fields["points"]["award"],
        per=Money(**fields["points"]["per"]).minor,
        pending=timedelta(days=fields["pending_days"]),
        pending_from_delivery=None if from_delivery is None else timedelta(days=from_delivery),
        expiry_months=expiry["months"] if expiry["kind"] == "rolling" else None,
        rules=_rules(fields.get("rules", ()), currency),
        tiers=_tiers(fields.get("tiers", ()), currency),
        grace=timedelta(days=fields.get("tier_grace_days", 0)),
        warning=timedelta(days=fields.get("tier_warning_days", 0)),
        backfill_earns=fields.get("backfill_earns", False),
        zone=zone,
    )


def not_yet_evaluated(body: dict[str, Any]) -> list[str]:
    """JSON pointers of what a posted body asks for and nothing applies so far: kept, and told with the version."""
    rules = [f"/rules/{n}" for n, rule in enumerate(body.get("rules", ())) if rule["on"] not in EVALUATED]
    return [*rules, *(["/budget"] if body.get("budget") else [])]


def first_programme(currency: str) -> dict[str, Any]:
    """The version that a fresh system starts with, in the form that ``POST /programmes`` takes."""
    return {
        "name": "house",
        "currency": currency,
        "active_from": EPOCH.isoformat(),
        "points": {
            "award": 1,
            "per": {"amount": Money.of(10 * 10 ** MINOR_UNITS[currency], currency).amount, "currency": currency},
            "base": "paid",
            "rounding": "floor",
        },
        "pending_days": 14,
        "pending_days_from_delivery": 7,
        "expiry": {"kind": "rolling", "months": 12},
        "rules": [
            {
                "id": "tea-doubles",
                "order": 10,
                "on": "purchase",
                "when": {"category": ["tea"]},
                "effect": {"multiply": "2"},
                "text": {"zh-CN": "茶叶双倍积分", "en": "Double points on tea"},
                "cap": {"points": 500, "per": "month", "scope": "customer"},
            }
        ],
        "tiers": [
            {
                "name": "silver",
                "qualify": {"spend": Money.of(5000 * 10 ** MINOR_UNITS[currency], currency).amount, "window_days": 365},
                "privileges": [{"code": "free-shipping"}, {"code": "discount", "percent": "5"}],
            }
        ],
        "tier_grace_days": 30,
    }


def _rules(listed: Sequence[dict[str, Any]], currency: str) -> tuple[Rule, ...]:
    evaluated = [fields for fields in listed if fields["on"] in EVALUATED]
    in_order = sorted(evaluated, key=lambda rule: (rule["order"], rule["id"]))
    return tuple(_rule(fields, currency) for fields in in_order)


def _rule(fields: dict[str, Any], currency: str) -> Rule:
    effect, cap = fields["effect"], fields.get("cap")
    return Rule(
        id=fields["id"],
        on=fields["on"],
        when=_when(fields.get("when", {}), currency),
        extra=_extra(effect.get("multiply")),
        bonus=effect.get("bonus", 0),
        cap=Cap(cap["points"], cap["per"]) if cap else None,
        group=fields.get("group"),
    )


def _when(fields: dict[str, Any], currency: str) -> When:
    if not fields:
        return _ALWAYS
    days, least = fields.get("days", {}), fields.get("paid_at_least")
    return When(
        categories=frozenset(fields.get("category", ())),
        skus=frozenset(fields.get("sku", ())),
        channels=frozenset(fields.get("channel", ())),
        stores=frozenset(fields.get("store", ())),
        weekdays=frozenset(map(WEEKDAYS.index, fields.get("weekday", ()))),
        since=date.fromisoformat(days["from"]) if "from" in days else None,
        until=date.fromisoformat(days["to"]) if "to" in days else None,
        least=Money(amount=least, currency=currency).minor if least else 0,
    )


def _tiers(listed: Sequence[dict[str, Any]], currency: str) -> tuple[Tier, ...]:
    tiers = [_tier(fields, fields["qualify"], currency) for fields in listed]
    if all(tier.by_spend_alone for tier in tiers):
        tiers.sort(key=lambda tier: (tier.spend, tier.name))
    return tuple(tiers)


def _tier(fields: dict[str, Any], qualify: dict[str, Any], currency: str) -> Tier:
    spend, calendar = qualify.get("spend"), qualify.get("calendar")
    return Tier(
        name=fields["name"],
        spend=Money(amount=spend, currency=currency).minor if spend else 0,
        window=_LONGEST[calendar] if calendar else timedelta(days=qualify.get("window_days", 0)),
        extra=_extra(fields.get("multiply")),
        points=qualify.get("points", 0),
        orders=qualify.get("orders", 0),
        tenure=timedelta(days=qualify.get("tenure_days", 0)),
        calendar=calendar,
        privileges=tuple(read_privilege(privilege) for privilege in fields.get("privileges", ())),
        text=fields.get("text", {}),
    )


def _extra(multiply: str | None) -> int:
    return scaled(multiply, FACTOR_PLACES) - ONE if multiply else 0
