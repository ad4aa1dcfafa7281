"""What a rule may ask of a customer: one flat mapping, for a day of the house's zone."""

from collections.abc import Callable, Mapping
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

Fact = str | int | float | Decimal | tuple[str, ...] | None
FactKind = Literal["number", "text", "list"]
_LATELY = timedelta(90)


class Known(msgspec.Struct, frozen=True):
    """All that is known of a customer, whatever the day.

    ``contacted``: the day of each contact sent; these and the next one planned are known only where a rule asks for
    them. ``signs``: activity of one who has bought nothing.
    """

    customer_id: str
    kind: str = "person"
    tags: tuple[str, ...] = ()
    locale: str | None = None
    owner: str | None = None
    birthday_month: int | None = None
    interests: tuple[str, ...] = ()
    price_sensitivity: str | None = None
    expected_monthly: str | None = None
    points: int = 0
    tier: str | None = None
    risk_band: str | None = None
    risk_probability: float | None = None
    complaints: int = 0
    contacted: tuple[date, ...] = ()
    contact_planned: str | None = None
    purchases: Purchases = Purchases()
    signs: tuple[Sign, ...] = ()


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
    return Decimal(known.purchases.spend).scaleb(-MINOR_UNITS[book.house.currency])


Reader = Callable[[Known, Book, date], Fact]
FACTS: Mapping[str, tuple[FactKind, Reader]] = {
    "kind": ("text", lambda known, _, __: known.kind),
    "tags": ("list", lambda known, _, __: known.tags),
    "locale": ("text", lambda known, _, __: known.locale),
    "owner": ("text", lambda known, _, __: known.owner),
    "birthday_month": ("number", lambda known, _, __: known.birthday_month),
    "interests": ("list", lambda known, _, __: known.interests),
    "price_sensitivity": ("text", lambda known, _, __: known.price_sensitivity),
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
}
"""name -> (kind, how it is read). Numbers of money are in units of the house's currency."""
FROM_STANDING = frozenset({"points", "tier", "risk_band", "risk_probability", "complaints"})
FROM_CONTACTS = frozenset({"days_since_last_contact", "contacts_sent_90_days", "contact_planned"})


def facts_on(known: Known, names: frozenset[str], book: Book, today: date) -> dict[str, Fact]:
    """These facts of a customer on a day."""
    return {name: FACTS[name][1](known, book, today) for name in names}


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
        case "days_since_last_contact":
            return _passing(max(known.contacted, default=None), numbers)
        case "contacts_sent_90_days":
            return [turn for day in set(known.contacted) for turn in (day, day + _LATELY)]
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
