"""A rule as it is posted: what is valid, to the field."""

from datetime import date
from typing import Annotated

from pydantic import Field, model_validator

from services.loyalty.coupons.bodies import CouponTerms
from services.loyalty.programmes.fields import DecimalAmount, HoldoutBody, Id, Multiplier, Names, Strict, Texts
from services.loyalty.programmes.rules import EVALUATED, On, Period, Scope, StreakPeriod, Weekday
from shared.contracts.behaviour import ActivityKind
from shared.contracts.purchases import Channel


class Days(Strict):
    """Days of the house's zone: ``from`` the first, ``to`` the day after the last; one of them at least."""

    since: Annotated[date | None, Field(alias="from")] = None
    until: Annotated[date | None, Field(alias="to")] = None

    @model_validator(mode="after")
    def _some(self) -> "Days":
        if self.since is None and self.until is None:
            raise ValueError("give from, to or both")
        if self.since and self.until and self.since >= self.until:
            raise ValueError("from is a day before to")
        return self


class StreakBody(Strict):
    """At least ``n`` weeks or months in a row, the order's own the last of them, with a purchase in each."""

    n: Annotated[int, Field(ge=2, le=1000)]
    per: StreakPeriod


class NthBody(Strict):
    """The ``n``-th purchase of a calendar period."""

    n: Annotated[int, Field(ge=1, le=100_000)]
    per: Period


class When(Strict):
    """Which orders and which of their lines a rule is about: whatever is named has to hold, of a list one of it.

    ``paid_at_least``: for the order as it was bought, in the programme's currency. ``tier``: held when it was placed;
    ``segment``: one that the customer was in just before that, such as ``regulars`` or ``lifecycle:dormant``.
    ``kind``: of an activity, the only condition of rules on occasions.
    """

    category: Names | None = None
    sku: Names | None = None
    channel: Annotated[list[Channel], Field(min_length=1)] | None = None
    store: Names | None = None
    weekday: Annotated[list[Weekday], Field(min_length=1)] | None = None
    days: Days | None = None
    paid_at_least: DecimalAmount | None = None
    tier: Names | None = None
    segment: Names | None = None
    streak: StreakBody | None = None
    kind: Annotated[list[ActivityKind], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _something(self) -> "When":
        # What is null is kept as if it weren't said: then nothing would be left, and the rule be about everything.
        if all(value is None for _, value in self):
            raise ValueError("name at least one condition")
        return self


class SideBody(Strict):
    """What one side of a referral is given."""

    bonus: Annotated[int, Field(ge=1, le=1_000_000)]


class LimitBody(Strict):
    """For how many referrals one customer is rewarded in a calendar period, by the purchases that they were made by."""

    count: Annotated[int, Field(ge=1, le=100_000)]
    per: Period


class Effect(Strict):
    """A factor on the matching lines' base, points an order, or points a piece of the matching lines; one of them.

    On an occasion, a bonus or a coupon; on a referral what ``referrer`` and ``referee`` are given, each or one of them.
    """

    multiply: Multiplier | None = None
    bonus: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    per_unit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    coupon: CouponTerms | None = None
    referrer: SideBody | None = None
    referee: SideBody | None = None

    @model_validator(mode="after")
    def _one(self) -> "Effect":
        sides = self.referrer or self.referee
        if [self.multiply, self.bonus, self.per_unit, self.coupon, sides].count(None) != 4:
            raise ValueError("give one of multiply, bonus, per_unit and coupon; for a referral referrer and referee")
        return self


class CapBody(Strict):
    """The most a rule gives in a calendar period, to a customer or (``programme``) to all of them together."""

    points: Annotated[int, Field(ge=0, le=10**9)]
    per: Period
    scope: Scope = "customer"


class RuleBody(Strict):
    """Applied by ``order``, then ``id``; each adds to the base, none to another rule. Of the rules of one ``group``
    that give an order something, only the one that gives most counts; of equals the first. ``nth`` goes with
    ``on: nth-purchase``, ``limit`` with ``on: referral``."""

    id: Id
    order: Annotated[int, Field(ge=-(10**6), le=10**6)]
    on: On
    nth: NthBody | None = None
    when: When | None = None
    effect: Effect
    text: Texts | None = None
    cap: CapBody | None = None
    group: Id | None = None
    limit: LimitBody | None = None
    holdout: HoldoutBody | None = None

    @model_validator(mode="after")
    def _numbered(self) -> "RuleBody":
        if (self.nth is None) == (self.on == "nth-purchase"):
            raise ValueError("nth-purchase goes with nth")
        if self.holdout is not None and self.on not in EVALUATED:
            raise ValueError("a holdout is for rules on purchases")
        return self
