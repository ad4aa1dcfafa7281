"""A programme version as it is posted: what is valid, to the field."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.loyalty.occasions.bodies import check_occasions
from services.loyalty.privileges.bodies import Privilege
from services.loyalty.programmes.domain import BasedOn, Calendar, Rounding
from services.loyalty.programmes.fields import Currency, DecimalAmount, Id, Multiplier, Rate
from services.loyalty.programmes.fields import MoneyBody as MoneyBody
from services.loyalty.programmes.fields import Name as Name
from services.loyalty.programmes.fields import Strict as Strict
from services.loyalty.programmes.fields import Texts as Texts
from services.loyalty.programmes.rule_bodies import RuleBody
from services.loyalty.programmes.rules import Period
from services.loyalty.referrals.bodies import check_referrals
from shared.contracts.types import Money
from shared.http.problems import invalid

EXAMPLE: dict[str, Any] = {
    "name": "house",
    "currency": "TWD",
    "active_from": "2026-01-01T00:00:00+08:00",
    "points": {"award": 1, "per": {"amount": "10.00", "currency": "TWD"}, "base": "paid", "rounding": "floor"},
    "pending_days": 14,
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
            "id": "quiet-tuesdays",
            "order": 15,
            "on": "purchase",
            "when": {"weekday": ["tuesday"], "channel": ["store"], "days": {"from": "2026-01-01", "to": "2026-04-01"}},
            "effect": {"multiply": "1.5"},
            "text": {"en": "Half as many points again, on Tuesdays in our stores"},
        },
        {"id": "first-order", "order": 20, "on": "first-purchase", "effect": {"bonus": 100}},
        {"id": "birthday", "order": 30, "on": "birthday", "effect": {"bonus": 200}},
        {
            "id": "sorry",
            "order": 40,
            "on": "complaint-resolved",
            "effect": {"coupon": {"percent": "10", "valid_days": 90}},
            "text": {"zh-CN": "为您的不便致歉", "en": "For your trouble"},
        },
        {
            "id": "curious",
            "order": 50,
            "on": "activity",
            "when": {"kind": ["content-read", "share"]},
            "effect": {"bonus": 5},
            "cap": {"points": 20, "per": "month"},
        },
    ],
    "tiers": [
        {
            "name": "silver",
            "qualify": {"spend": "5000.00", "window_days": 365},
            "multiply": "1.1",
            "privileges": [{"code": "free-shipping"}, {"code": "discount", "percent": "5"}],
        }
    ],
    "tier_grace_days": 30,
    "tier_warning_days": 30,
    "expiry_warning_days": 30,
    "transfers": {"per_day": 1000},
}
VERSION: dict[str, Any] = {
    **EXAMPLE, "version": 2, "posted_at": "2026-01-01T02:00:00Z", "not_yet_evaluated": []
}  # fmt: skip


_OWN_PARTS = ("base", "tier")


def _in_our_time(at: datetime) -> datetime:
    if not 1970 <= at.year <= 2200:
        raise ValueError("between 1970 and 2200, please")
    return at


class BasePoints(Strict):
    """``award`` points for every ``per`` of the ``base``, rounded on the order.

    ``paid`` is the order's total; ``before-discount`` that and the discounts on its lines. ``without-tax`` and
    ``without-shipping`` take off what the order says of them. Every rule and every return goes by the same base.
    ``value``: what the house reckons one point to be worth, for its liability.
    """

    award: Annotated[int, Field(ge=0, le=1_000_000)]
    per: MoneyBody
    base: BasedOn = "paid"
    rounding: Rounding = "floor"
    value: MoneyBody | None = None


class Rolling(Strict):
    """So many calendar months after the purchase, at the same time of day.

    ``extended_by`` a purchase: who buys again before points of his orders expire, keeps them for as long from then on.
    """

    kind: Literal["rolling"]
    months: Annotated[int, Field(ge=1, le=1200)]
    extended_by: Literal["purchase"] | None = None


class MonthEnd(Strict):
    """With the month that comes so many after the purchase's: with 1, at the end of the next month."""

    kind: Literal["month-end"]
    months: Annotated[int, Field(ge=1, le=1200)]


class YearEnd(Strict):
    """With the year that comes so many after the purchase's: with 1, at the end of the next year."""

    kind: Literal["year-end"]
    years: Annotated[int, Field(ge=1, le=100)]


class Never(Strict):
    """Points stay."""

    kind: Literal["never"]


class Budget(Strict):
    """The most that the programme gives to all customers' orders in a calendar period, the base included."""

    points: Annotated[int, Field(ge=0, le=10**12)]
    per: Period


class Transfers(Strict):
    """What customers may give to one another themselves: so many points of one person on a day of the house's zone."""

    per_day: Annotated[int, Field(ge=0, le=10**12)]


class Qualify(Strict):
    """What a tier asks for: all that is named has to hold, and something has to be named.

    ``spend`` (net, in the programme's currency), ``points`` (what orders earned, less what was reversed) and ``orders``
    (of which something paid stands) count within the last ``window_days``, or within the ``calendar`` year or quarter
    of the house's zone; ``tenure_days`` since the first order that stands.
    """

    spend: DecimalAmount | None = None
    points: Annotated[int | None, Field(ge=1, le=10**9)] = None
    orders: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    tenure_days: Annotated[int | None, Field(ge=1, le=36_600)] = None
    window_days: Annotated[int | None, Field(ge=1, le=3660)] = None
    calendar: Calendar | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Qualify":
        counted = [self.spend, self.points, self.orders]
        windows = [window for window in (self.window_days, self.calendar) if window is not None]
        if all(measure is None for measure in (*counted, self.tenure_days)):
            raise ValueError("name at least one of spend, points, orders and tenure_days")
        if any(measure is not None for measure in counted) and len(windows) != 1:
            raise ValueError("give either window_days or calendar")
        if all(measure is None for measure in counted) and windows:
            raise ValueError("tenure_days has no window")
        return self


class TierBody(Strict):
    """A tier, what it asks for, and what it brings: what it lists, nothing of the tiers below it."""

    name: Name
    qualify: Qualify
    multiply: Multiplier | None = None
    privileges: Annotated[list[Privilege], Field(max_length=50)] = Field([])
    text: Texts | None = None


class KeptPrivilege(BaseModel):
    """A privilege of a version as it was kept: codes may be newer than it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    code: Id


class KeptTier(TierBody):
    """A tier of a version as it was kept."""

    privileges: list[KeptPrivilege] = Field([])  # type: ignore[assignment]  # what is read is wider than what is posted


class ProgrammeBody(Strict):
    """A version as it is posted.

    ``tiers`` that all ask for spend alone stand in its order; else as they are listed, the lowest first.
    ``rates``: units of the programme's currency for one unit of another. What is bought in a currency that has one,
    earns and counts for tiers by its amounts in the programme's; in others it earns nothing.
    ``tier_warning_days``: so many days before it falls a tier's fall is told; 0: not before. ``expiry_warning_days``:
    so many days before the day of the house on which they expire, points that are free are told of; absent: never.
    ``transfers``: where customers transfer points themselves, how many one may give a day; absent: as many as he has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": EXAMPLE})

    name: Name
    currency: Currency
    active_from: Annotated[AwareDatetime, AfterValidator(_in_our_time)]
    points: BasePoints
    pending_days: Annotated[int, Field(ge=0, le=365)]
    pending_days_from_delivery: Annotated[int, Field(ge=0, le=365)] | None = None
    expiry: Annotated[Rolling | MonthEnd | YearEnd | Never, Field(discriminator="kind")]
    rules: Annotated[list[RuleBody], Field(max_length=500)] = Field([])
    tiers: Annotated[list[TierBody], Field(max_length=20)] = Field([])
    tier_grace_days: Annotated[int, Field(ge=0, le=3660)] = 0
    tier_warning_days: Annotated[int, Field(ge=0, le=365)] = 0
    expiry_warning_days: Annotated[int, Field(ge=1, le=365)] | None = None
    backfill_earns: bool = False
    budget: Budget | None = None
    rates: Annotated[dict[Currency, Rate] | None, Field(min_length=1, max_length=200)] = None
    transfers: Transfers | None = None

    def document(self) -> dict[str, Any]:
        """As it is kept: JSON, without what wasn't said."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ProgrammeVersion(ProgrammeBody):
    """A version as it stands. ``not_yet_evaluated``: pointers to what it asks for and nothing applies so far."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"example": VERSION},
    )

    tiers: list[KeptTier] = Field([])  # type: ignore[assignment]  # as its privileges
    version: int
    posted_at: datetime
    not_yet_evaluated: list[str]


def check_programme(body: ProgrammeBody) -> None:
    """What only shows between fields. Raises ProblemError 422 with a pointer."""
    if body.points.per.currency != body.currency:
        raise invalid("/points/per/currency", f"the programme's currency is {body.currency}")
    if body.points.value is not None and body.points.value.currency != body.currency:
        raise invalid("/points/value/currency", f"the programme's currency is {body.currency}")
    if body.currency in (body.rates or {}):
        raise invalid(f"/rates/{body.currency}", "the programme's own currency needs no rate")
    _once("/rules/{}/id", [rule.id for rule in body.rules])
    for number, rule in enumerate(body.rules):
        if rule.id in _OWN_PARTS:
            raise invalid(f"/rules/{number}/id", f"{rule.id!r} is what a part of the programme itself is called")
    check_occasions(body.rules)
    check_referrals(body.rules)
    _once("/tiers/{}/name", [tier.name for tier in body.tiers])
    tiers = {tier.name for tier in body.tiers}
    for number, rule in enumerate(body.rules):
        for place, name in enumerate((rule.when and rule.when.tier) or ()):
            if name not in tiers:
                raise invalid(f"/rules/{number}/when/tier/{place}", f"the version has no tier {name!r}")
        if rule.when and rule.when.paid_at_least is not None:
            try:
                Money(amount=rule.when.paid_at_least, currency=body.currency)
            except ValueError as error:
                raise invalid(f"/rules/{number}/when/paid_at_least", str(error)) from None
    _check_tiers(body)
    longest = max(body.pending_days, body.pending_days_from_delivery or 0)
    expiry = body.expiry
    if isinstance(expiry, Rolling | MonthEnd) and expiry.months * 28 <= longest:
        raise invalid("/expiry/months", "points would expire before they become available")
    if isinstance(expiry, YearEnd) and expiry.years * 365 <= longest:
        raise invalid("/expiry/years", "points would expire before they become available")


def _check_tiers(body: ProgrammeBody) -> None:
    for number, tier in enumerate(body.tiers):
        if tier.qualify.spend is not None:
            try:
                asked = Money(amount=tier.qualify.spend, currency=body.currency).minor
            except ValueError as error:
                raise invalid(f"/tiers/{number}/qualify/spend", str(error)) from None
            if asked == 0:
                raise invalid(f"/tiers/{number}/qualify/spend", "the amount must be more than 0")
        _once(f"/tiers/{number}/privileges/{{}}/code", [privilege.code for privilege in tier.privileges])


def _once(pointer: str, names: list[str]) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise invalid(pointer.format(number), f"{name!r} is there already")
