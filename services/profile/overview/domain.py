"""The 360° view: the file beside everything that the facts and the other services say of a customer."""

from datetime import datetime

import msgspec

from services.profile.policies.domain import Policies
from services.profile.purchases.domain import House, Purchases
from services.profile.purchases.lifecycle import Stage, stage
from services.profile.purchases.rfm import Rfm, score
from services.profile.timeline.domain import Standing
from shared.contracts.customers import CustomerKind
from shared.contracts.types import decimal_of


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


class Value(msgspec.Struct, frozen=True):
    """What a customer is worth. ``lifetime_spend`` net of returns in the house currency; ``unconverted``: what he
    spent in currencies without a rate, counted among the orders and not summed."""

    rfm: Rfm | None
    lifetime_spend: Sum
    order_count: int
    clv: Sum | None
    unconverted: tuple[Sum, ...]
    first_purchase_at: datetime | None
    last_purchase_at: datetime | None


class Judged(msgspec.Struct, frozen=True):
    """Value and stage at an instant, under the policies in force."""

    value: Value
    lifecycle: Stage


def judge(purchases: Purchases, policies: Policies, house: House, now: datetime) -> Judged:
    """What a customer's purchases amount to now."""
    today = house.day(now)
    value = Value(
        rfm=score(purchases, policies.rfm, house.currency, today),
        lifetime_spend=_sum(purchases.spend, house.currency),
        order_count=purchases.orders,
        clv=None,
        unconverted=tuple(_sum(foreign.minor, code) for code, foreign in sorted(purchases.elsewhere.items())),
        first_purchase_at=purchases.first_at,
        last_purchase_at=purchases.last_at,
    )
    return Judged(value, stage(purchases, policies.lifecycle, today))


def _sum(minor: int, currency: str) -> Sum:
    return Sum(decimal_of(minor, currency), currency)
