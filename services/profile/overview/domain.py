"""The 360° view: the file beside everything that the facts and the other services say of a customer."""

from datetime import date, datetime

import msgspec

from services.profile.policies.domain import Policies
from services.profile.purchases.domain import House, Purchases
from services.profile.purchases.lifecycle import Stage, stage
from services.profile.purchases.rfm import Rfm, score
from services.profile.rates.domain import Rate, converted
from services.profile.timeline.domain import Forecast, Standing
from shared.contracts.customers import CustomerKind
from shared.contracts.types import Money, decimal_of

SHARE_DAYS = 365


class Sum(msgspec.Struct, frozen=True):
    """A sum of money, however large: one event's ``Money`` is limited, what many add up to is not."""

    amount: str
    currency: str


class Said(msgspec.Struct, frozen=True):
    """What is kept of a customer beside the file. ``restricted``: under one of his ids at least."""

    purchases: Purchases
    standing: Standing
    restricted: bool


class Listed(msgspec.Struct, frozen=True):
    """A customer as lists show him."""

    customer_id: str
    kind: CustomerKind
    name: str | None
    tags: tuple[str, ...]
    owner: str | None
    said: Said


class Clv(msgspec.Struct, frozen=True):
    """The revenue, undiscounted, that churn's model expects in the ``days`` after ``scored_at``, and how many purchases
    in the first ``horizon_days`` of them."""

    amount: str
    currency: str
    days: int
    expected_purchases: float | None
    horizon_days: int | None
    model_version: str
    scored_at: datetime


class Share(msgspec.Struct, frozen=True):
    """The part of what a customer spends altogether that he spends here: ``numerator``, net of returns in the last
    ``days`` up to ``last_day``, over ``denominator``, the ``estimate`` for a year in the house's currency at the rate
    of that day."""

    share: float
    numerator: Sum
    denominator: Sum
    days: int
    last_day: date
    estimate: Sum
    estimated_at: datetime


class Value(msgspec.Struct, frozen=True):
    """What a customer is worth. ``lifetime_spend`` net of returns in the house currency; ``unconverted``: what he
    spent in currencies without a rate, counted among the orders and not summed."""

    rfm: Rfm | None
    lifetime_spend: Sum
    order_count: int
    clv: Clv | None
    unconverted: tuple[Sum, ...]
    first_purchase_at: datetime | None
    last_purchase_at: datetime | None
    share: Share | None = None


class Judged(msgspec.Struct, frozen=True):
    """Value and stage at an instant, under the policies in force."""

    value: Value
    lifecycle: Stage


def judge(said: Said, policies: Policies, house: House, now: datetime, share: Share | None = None) -> Judged:
    """What a customer's purchases amount to now, and are expected to."""
    purchases, forecast = said.purchases, said.standing.forecast
    today = house.day(now)
    value = Value(
        rfm=score(purchases, policies.rfm, house.currency, today),
        lifetime_spend=_sum(purchases.spend, house.currency),
        order_count=purchases.orders,
        clv=_clv(forecast) if forecast else None,
        unconverted=tuple(_sum(foreign.minor, code) for code, foreign in sorted(purchases.elsewhere.items())),
        first_purchase_at=purchases.first_at,
        last_purchase_at=purchases.last_at,
        share=share,
    )
    return Judged(value, stage(purchases, policies.lifecycle, today))


def share_of(
    spent: int, estimate: Money, at: datetime, rate: Rate | None, house: House, last_day: date
) -> Share | None:
    """What part of an estimate, made at an instant, was spent here (minor units of the house's currency) in the year up
    to ``last_day``; None where the estimate is in a currency without a rate."""
    wallet = estimate.minor
    if estimate.currency != house.currency:
        exchanged = converted(wallet, rate, house.currency) if rate else None
        if not exchanged:
            return None
        wallet = exchanged
    return Share(
        share=spent / wallet,
        numerator=_sum(spent, house.currency),
        denominator=_sum(wallet, house.currency),
        days=SHARE_DAYS,
        last_day=last_day,
        estimate=Sum(estimate.amount, estimate.currency),
        estimated_at=at,
    )


def _clv(forecast: Forecast) -> Clv:
    return Clv(
        forecast.value.amount, forecast.value.currency, forecast.days, forecast.expected_purchases,
        forecast.horizon_days, forecast.model_version, forecast.scored_at,
    )  # fmt: skip


def _sum(minor: int, currency: str) -> Sum:
    return Sum(decimal_of(minor, currency), currency)
