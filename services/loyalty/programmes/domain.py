"""A programme version as the rules see it: integers, instants, and everything in the order it is applied."""

import calendar
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.occasions.domain import OccasionRule, is_occasion, read_occasions
from services.loyalty.privileges.domain import Privilege, read_privilege
from services.loyalty.programmes.rules import ALWAYS, EVALUATED, WEEKDAYS, Cap, Nth, Rule, RuleBook, Scope, Streak, When
from services.loyalty.referrals.domain import ReferralRule, is_referral, read_referral
from services.loyalty.segments.domain import place_of
from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.types import MAX_MINOR, Money, scaled

FACTOR_PLACES = 4
RATE_PLACES = 9
ONE = 10**FACTOR_PLACES
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Calendar = Literal["year", "quarter"]
GREENWICH = ZoneInfo("UTC")
# And a day, by which a zone may have moved.
_LONGEST: dict[Calendar, timedelta] = {"year": timedelta(days=367), "quarter": timedelta(days=93)}

BasedOn = Literal[
    "paid", "paid-without-tax", "paid-without-shipping", "paid-without-tax-and-shipping",
    "before-discount", "before-discount-without-tax", "before-discount-without-shipping",
    "before-discount-without-tax-and-shipping",
]  # fmt: skip
Rounding = Literal["floor", "half-up", "ceiling"]
ExpiryKind = Literal["rolling", "month-end", "year-end", "never"]


class Base(msgspec.Struct, frozen=True):
    """The money that earns: what was paid for the order, or that and the discounts on its lines, less its tax, its
    shipping or both."""

    before_discount: bool = False
    with_tax: bool = True
    with_shipping: bool = True

    @property
    def is_paid(self) -> bool:
        """Whether it is what was paid, as it is."""
        return self.with_tax and self.with_shipping and not self.before_discount


class Expiry(msgspec.Struct, frozen=True):
    """``count`` calendar months after the purchase (rolling), or the end of the month or year that comes so many
    after the purchase's own. ``extended``: later purchases put it off."""

    kind: ExpiryKind
    count: int = 0
    extended: bool = False

    def at(self, occurred_at: datetime, zone: ZoneInfo) -> datetime | None:
        """When points of then expire; None is never.

        Rolling: the same wall-clock time, on the month's last day at the latest; the ends: the midnight after them.
        """
        if self.kind == "never":
            return None
        local = occurred_at.astimezone(zone)
        if self.kind == "year-end":
            return datetime(local.year + self.count + 1, 1, 1, tzinfo=zone).astimezone(UTC)
        ended = self.kind == "month-end"
        years, month = divmod(local.month - 1 + self.count + ended, 12)
        year, month = local.year + years, month + 1
        if ended:
            return datetime(year, month, 1, tzinfo=zone).astimezone(UTC)
        day = min(local.day, calendar.monthrange(year, month)[1])
        return local.replace(year=year, month=month, day=day).astimezone(UTC)


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

    ``warning``: so long before it a fall is told; ``expiry_warning``: so many days before the day on which
    they expire points are; ``zone``: the house's, of calendar windows; ``value``: minor units that a point is worth,
    for the liability; ``rates``: by other currencies, the minor units of the programme's for so many of theirs;
    ``transfers_per_day``: so many points a customer may give away himself, None: as many as he has.

    Told of it: ``book`` finds the rules of an order; ``asks_tier``: what an order earns may hang on the tier held
    (``has_factors``: on its factor); ``has_caps``: a customer's; ``is_shared``: it has a budget, or a cap that all
    customers share; ``segments``: the names of those that its rules ask for.
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
    expiry: Expiry = Expiry("never")
    base: Base = Base()
    rounding: Rounding = "floor"
    rules: tuple[Rule, ...] = ()
    occasions: tuple[OccasionRule, ...] = ()
    referral: ReferralRule | None = None
    tiers: tuple[Tier, ...] = ()
    grace: timedelta = timedelta()
    warning: timedelta = timedelta()
    expiry_warning: int = 0
    backfill_earns: bool = False
    zone: ZoneInfo = GREENWICH
    budget: Cap | None = None
    value: int | None = None
    rates: dict[str, tuple[int, int]] = {}
    transfers_per_day: int | None = None
    book: RuleBook = RuleBook(())
    asks_tier: bool = False
    has_factors: bool = False
    has_caps: bool = False
    is_shared: bool = False
    segments: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        # What judging an order asks each time.
        set_ = msgspec.structs.force_setattr
        set_(self, "book", RuleBook(self.rules))
        set_(self, "has_factors", any(tier.extra for tier in self.tiers))
        set_(self, "asks_tier", self.has_factors or any(rule.when.tiers for rule in self.rules))
        set_(self, "has_caps", bool(self.book.caps))
        shared = any(rule.cap and rule.cap.scope == "programme" for rule in self.rules)
        set_(self, "segments", frozenset(segment for rule in self.rules for segment, _ in rule.when.segments))
        set_(self, "is_shared", shared or self.budget is not None)

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
        """When the points of a purchase expire; None is never."""
        return self.expiry.at(occurred_at, zone)

    def converted(self, minor: int, currency: str) -> int:
        """Minor units of a currency in the programme's own, halves up, at the most what one amount may be; of one
        without a rate as they are."""
        rate = self.rates.get(currency)
        return min(MAX_MINOR, (2 * minor * rate[0] + rate[1]) // (2 * rate[1])) if rate else minor

    def points(self, amount: int, extra: int = ONE) -> int:
        """The points of minor units by ``extra`` ten-thousandths of the base's rate, rounded as the version says."""
        return self.rounded(amount * self.award * extra, self.per * ONE)

    def rounded(self, numerator: int, denominator: int) -> int:
        """A quotient of whole numbers that aren't negative, as a whole number."""
        if self.rounding == "floor":
            return numerator // denominator
        if self.rounding == "ceiling":
            return -(-numerator // denominator)
        return (2 * numerator + denominator) // (2 * denominator)


def segments_of(versions: Iterable[Programme]) -> set[str]:
    """The names of the segments that any of these versions asks for."""
    return {segment for version in versions for segment in version.segments}


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
        expiry=Expiry(expiry["kind"], expiry.get("months", expiry.get("years", 0)), bool(expiry.get("extended_by"))),
        base=_base(fields["points"].get("base", "paid")),
        rounding=fields["points"].get("rounding", "floor"),
        rules=_rules(fields.get("rules", ()), currency),
        occasions=read_occasions(fields.get("rules", ())),
        referral=read_referral(fields.get("rules", ())),
        tiers=_tiers(fields.get("tiers", ()), currency),
        grace=timedelta(days=fields.get("tier_grace_days", 0)),
        warning=timedelta(days=fields.get("tier_warning_days", 0)),
        expiry_warning=fields.get("expiry_warning_days", 0),
        backfill_earns=fields.get("backfill_earns", False),
        zone=zone,
        budget=_cap(fields.get("budget"), "programme"),
        value=Money(**fields["points"]["value"]).minor if fields["points"].get("value") else None,
        rates={code: _rate(rate, code, currency) for code, rate in fields.get("rates", {}).items()},
        transfers_per_day=fields.get("transfers", {}).get("per_day"),
    )


def not_yet_evaluated(body: dict[str, Any]) -> list[str]:
    """JSON pointers of what a posted body asks for and nothing applies so far: kept, and told with the version."""
    rules = enumerate(body.get("rules", ()))
    return [
        f"/rules/{n}"
        for n, rule in rules
        if rule["on"] not in EVALUATED and not is_occasion(rule) and not is_referral(rule)
    ]


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
            },
            {
                "id": "compensation",
                "order": 20,
                "on": "complaint-resolved",
                "effect": {"coupon": {"percent": "10", "valid_days": 90}},
                "text": {"zh-CN": "为您的不便致歉", "en": "For your trouble"},
            },
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
    effect, nth = fields["effect"], fields.get("nth")
    return Rule(
        id=fields["id"],
        on=fields["on"],
        when=_when(fields.get("when", {}), currency),
        extra=_extra(effect.get("multiply")),
        bonus=effect.get("bonus", 0),
        per_unit=effect.get("per_unit", 0),
        nth=Nth(nth["n"], nth["per"]) if nth else None,
        cap=_cap(fields.get("cap")),
        group=fields.get("group"),
        holdout=fields.get("holdout", {}).get("percent", 0),
    )


def _rate(rate: str, foreign: str, own: str) -> tuple[int, int]:
    return scaled(rate, RATE_PLACES) * 10 ** MINOR_UNITS[own], 10 ** (RATE_PLACES + MINOR_UNITS[foreign])


def _base(name: BasedOn) -> Base:
    return Base(
        before_discount=name.startswith("before-discount"),
        with_tax="without-tax" not in name,
        with_shipping="shipping" not in name,
    )


def _cap(fields: dict[str, Any] | None, scope: Scope = "customer") -> Cap | None:
    return Cap(fields["points"], fields["per"], fields.get("scope", scope)) if fields else None


def _when(fields: dict[str, Any], currency: str) -> When:
    if not fields:
        return ALWAYS
    days, least, streak = fields.get("days", {}), fields.get("paid_at_least"), fields.get("streak")
    return When(
        categories=frozenset(fields.get("category", ())),
        skus=frozenset(fields.get("sku", ())),
        channels=frozenset(fields.get("channel", ())),
        stores=frozenset(fields.get("store", ())),
        weekdays=frozenset(map(WEEKDAYS.index, fields.get("weekday", ()))),
        since=date.fromisoformat(days["from"]) if "from" in days else None,
        until=date.fromisoformat(days["to"]) if "to" in days else None,
        least=Money(amount=least, currency=currency).minor if least else 0,
        tiers=frozenset(fields.get("tier", ())),
        segments=frozenset(map(place_of, fields.get("segment", ()))),
        streak=Streak(streak["n"], streak["per"]) if streak else None,
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
