"""A programme version as the rules see it: integers, instants, and everything in the order it is applied."""

import calendar
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.occasions.domain import OccasionRule
from services.loyalty.privileges.domain import Privilege
from services.loyalty.programmes.rules import Cap, Rule, RuleBook
from services.loyalty.referrals.domain import ReferralRule
from shared.contracts.types import MAX_MINOR

FACTOR_PLACES = 4
ONE = 10**FACTOR_PLACES
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Calendar = Literal["year", "quarter"]
GREENWICH = ZoneInfo("UTC")
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
