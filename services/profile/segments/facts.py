"""What a rule may ask of a customer: one flat mapping, for a day of the house's zone."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

import msgspec

from services.profile.policies.domain import Policies
from services.profile.purchases import lifecycle, rfm
from services.profile.purchases.domain import House, Purchases
from services.profile.segments import value
from services.profile.segments.value import Sign
from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.types import Scalar

Fact = str | int | float | Decimal | tuple[str, ...] | None
FactKind = Literal["number", "text", "list", "attribute"]
ATTRIBUTE = "attributes."
"""How the facts begin that are attributes of the user's own."""
_LATELY = timedelta(90)


class Bought(msgspec.Struct, frozen=True, array_like=True):
    """An order that counts: its day, its net in minor units of the house's currency if it has a rate, and of what was
    kept of it the products and categories."""

    day: date
    channel: str
    net: int | None
    skus: tuple[str, ...]
    categories: tuple[str, ...]


class Known(msgspec.Struct, frozen=True):
    """All that is known of a customer, whatever the day.

    ``contacted``: the day of each contact sent. These, the next one planned and the ``orders`` are known only where a
    rule asks for them. ``signs``: activity of one who has bought nothing.
    """

    customer_id: str
    kind: str = "person"
    tags: tuple[str, ...] = ()
    locale: str | None = None
    owner: str | None = None
    birthday_month: int | None = None
    interests: tuple[str, ...] = ()
    price_sensitivity: str | None = None
    time_zone: str | None = None
    industry: str | None = None
    occupation: str | None = None
    company_size: int | None = None
    business_model: str | None = None
    special_needs: tuple[str, ...] = ()
    preferred_channel: str | None = None
    attributes: Mapping[str, Scalar] = {}
    points: int = 0
    tier: str | None = None
    risk_band: str | None = None
    risk_probability: float | None = None
    complaints: int = 0
    feedback_day: date | None = None
    contacted: tuple[date, ...] = ()
    contact_planned: str | None = None
    orders: tuple[Bought, ...] = ()
    purchases: Purchases = Purchases()
    signs: tuple[Sign, ...] = ()

    @property
    def expected_monthly(self) -> str | None:
        """What somebody expects him to spend in a month, as it was written."""
        said = self.attributes.get("expected_monthly_spend")
        return None if said is None else str(said)


class Book(msgspec.Struct, frozen=True):
    """What the built-in classes are computed by."""

    policies: Policies
    house: House


def _since(day: date | None, today: date) -> int | None:
    return None if day is None else (today - day).days


def _score(known: Known, book: Book, today: date, part: str) -> int | None:
    scores = rfm.score(known.purchases, book.policies.rfm, book.house.currency, today)
    return None if scores is None else getattr(scores, part)


def _class(known: Known, book: Book, today: date) -> str:
    scores, policy = rfm.score(known.purchases, book.policies.rfm, book.house.currency, today), book.policies.classes
    if scores is None:
        return "prospect"
    reached = (scores.r >= policy.vip_recency, scores.f >= policy.vip_frequency, scores.m >= policy.vip_monetary)
    return "vip" if all(reached) else "regular"


def _sent_lately(known: Known, today: date) -> int:
    return sum(day <= today < day + _LATELY for day in known.contacted)


def _spend(known: Known, book: Book) -> Decimal:
    return _money(known.purchases.spend, book)


def _money(minor: int, book: Book) -> Decimal:
    return Decimal(minor).scaleb(-MINOR_UNITS[book.house.currency])


def _within(known: Known, today: date, days: int) -> list[Bought]:
    return [order for order in known.orders if order.day <= today < order.day + timedelta(days)]


def _spent(orders: Sequence[Bought], book: Book) -> Decimal:
    return _money(sum(order.net or 0 for order in orders), book)


def _average(known: Known, book: Book) -> Decimal | None:
    sums = [order.net for order in known.orders if order.net is not None]
    return round(_money(sum(sums), book) / len(sums), MINOR_UNITS[book.house.currency]) if sums else None


def _named(orders: Sequence[Bought], part: Literal["skus", "categories"]) -> tuple[str, ...]:
    return tuple(sorted({name for order in orders for name in getattr(order, part)}))


Reader = Callable[[Known, Book, date], Fact]
_ORDER_DAYS = (30, 90, 365)


def _orders_in(days: int) -> Reader:
    return lambda known, _, today: len(_within(known, today, days))


def _spend_in(days: int) -> Reader:
    return lambda known, book, today: _spent(_within(known, today, days), book)


_OF_ORDERS: Mapping[str, tuple[FactKind, Reader]] = {
    "average_order": ("number", lambda known, book, _: _average(known, book)),
    "channels": ("list", lambda known, _, __: tuple(sorted({order.channel for order in known.orders}))),
    "categories": ("list", lambda known, _, __: _named(known.orders, "categories")),
    "categories_90_days": ("list", lambda known, _, today: _named(_within(known, today, 90), "categories")),
    "skus": ("list", lambda known, _, __: _named(known.orders, "skus")),
    "skus_90_days": ("list", lambda known, _, today: _named(_within(known, today, 90), "skus")),
    **{f"orders_{days}_days": ("number", _orders_in(days)) for days in _ORDER_DAYS},
    **{f"spend_{days}_days": ("number", _spend_in(days)) for days in _ORDER_DAYS},
}
FACTS: Mapping[str, tuple[FactKind, Reader]] = {
    "kind": ("text", lambda known, _, __: known.kind),
    "tags": ("list", lambda known, _, __: known.tags),
    "locale": ("text", lambda known, _, __: known.locale),
    "owner": ("text", lambda known, _, __: known.owner),
    "birthday_month": ("number", lambda known, _, __: known.birthday_month),
    "interests": ("list", lambda known, _, __: known.interests),
    "price_sensitivity": ("text", lambda known, _, __: known.price_sensitivity),
    "time_zone": ("text", lambda known, _, __: known.time_zone),
    "industry": ("text", lambda known, _, __: known.industry),
    "occupation": ("text", lambda known, _, __: known.occupation),
    "company_size": ("number", lambda known, _, __: known.company_size),
    "business_model": ("text", lambda known, _, __: known.business_model),
    "special_needs": ("list", lambda known, _, __: known.special_needs),
    "preferred_channel": ("text", lambda known, _, __: known.preferred_channel),
    "order_count": ("number", lambda known, _, __: known.purchases.orders),
    "lifetime_spend": ("number", lambda known, book, _: _spend(known, book)),
    "purchase_days": ("number", lambda known, _, __: known.purchases.days),
    "days_since_last_purchase": ("number", lambda known, _, today: _since(known.purchases.last_day, today)),
    "days_since_first_purchase": ("number", lambda known, _, today: _since(known.purchases.first_day, today)),
    "points": ("number", lambda known, _, __: known.points),
    "tier": ("text", lambda known, _, __: known.tier),
    "risk_band": ("text", lambda known, _, __: known.risk_band),
    "risk_probability": ("number", lambda known, _, __: known.risk_probability),
    "complaints": ("number", lambda known, _, __: known.complaints),
    "days_since_last_feedback": ("number", lambda known, _, today: _since(known.feedback_day, today)),
    "days_since_last_contact": ("number", lambda known, _, today: _since(max(known.contacted, default=None), today)),
    "contacts_sent_90_days": ("number", lambda known, _, today: _sent_lately(known, today)),
    "contact_planned": ("text", lambda known, _, __: known.contact_planned),
    "lifecycle": ("text", lambda known, book, today: lifecycle.stage(known.purchases, book.policies.lifecycle, today)),
    "rfm_r": ("number", lambda known, book, today: _score(known, book, today, "r")),
    "rfm_f": ("number", lambda known, book, today: _score(known, book, today, "f")),
    "rfm_m": ("number", lambda known, book, today: _score(known, book, today, "m")),
    "value": (
        "text",
        lambda known, book, today: value.value_class(
            known.purchases, known.signs, known.expected_monthly, book.policies.value, book.house.currency, today
        ),
    ),
    "class": ("text", lambda known, book, today: _class(known, book, today)),
    **_OF_ORDERS,
}
"""name -> (kind, how it is read), but for attributes. Numbers of money are in units of the house's currency."""
MONEY = frozenset({"lifetime_spend", "average_order", *(f"spend_{days}_days" for days in _ORDER_DAYS)})
FROM_STANDING = frozenset(
    {"points", "tier", "risk_band", "risk_probability", "complaints", "days_since_last_feedback"}
)
FROM_CONTACTS = frozenset({"days_since_last_contact", "contacts_sent_90_days", "contact_planned"})
FROM_ORDERS = frozenset(_OF_ORDERS)


def kind_of(name: str) -> FactKind | None:
    """What a fact is; None where there is none of this name."""
    if name.startswith(ATTRIBUTE) and len(name) > len(ATTRIBUTE):
        return "attribute"
    return FACTS[name][0] if name in FACTS else None


def facts_on(known: Known, names: frozenset[str], book: Book, today: date) -> dict[str, Fact]:
    """These facts of a customer on a day."""
    return {
        name: FACTS[name][1](known, book, today) if name in FACTS else known.attributes.get(name[len(ATTRIBUTE) :])
        for name in names
    }


def turning_days(known: Known, name: str, numbers: frozenset[int], book: Book) -> list[date]:
    """The days on which a fact may change, or pass one of ``numbers``, without any event."""
    purchases, policies = known.purchases, book.policies
    match name:
        case "lifecycle":
            return list(lifecycle.turning_days(purchases, policies.lifecycle))
        case "rfm_r":
            return list(rfm.turning_days(purchases, policies.rfm))
        case "class":
            return _turning_days_of_class(purchases, policies)
        case "value":
            return list(value.turning_days(known.signs, policies.value))
        case "days_since_last_purchase":
            return _passing(purchases.last_day, numbers)
        case "days_since_first_purchase":
            return _passing(purchases.first_day, numbers)
        case "days_since_last_feedback":
            return _passing(known.feedback_day, numbers)
        case "days_since_last_contact":
            return _passing(max(known.contacted, default=None), numbers)
        case "contacts_sent_90_days":
            return [turn for day in set(known.contacted) for turn in (day, day + _LATELY)]
        case _ if name in FROM_ORDERS and name.endswith("_days"):
            lasts = timedelta(int(name.split("_")[1]))
            return [turn for day in {order.day for order in known.orders} for turn in (day, day + lasts)]
        case _:
            return []


def _passing(start: date | None, numbers: frozenset[int]) -> list[date]:
    """The days on which the days since ``start`` reach one of these numbers, and leave it."""
    return [start + timedelta(n + more) for n in numbers for more in (0, 1)] if start else []


def _turning_days_of_class(purchases: Purchases, policies: Policies) -> list[date]:
    """The one day on which a VIP's recency falls below what makes him one; time alone makes nobody a VIP."""
    least, last = policies.classes.vip_recency, purchases.last_day
    if last is None or least == 1:
        return []
    return [last + timedelta(policies.rfm.recency_days[5 - least] + 1)]
