"""What to offer a customer next, and why: of what he keeps, what others buy with it, and what the catalogue says.

Never what he bought lately, never what he brought back, never a durable thing twice.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

import msgspec

from services.profile.policies.domain import Contradiction
from services.profile.purchases.domain import House
from shared.contracts.behaviour import ProductChanged
from shared.contracts.orders import Order

Kind = Literal["cross-sell", "up-sell"]
Code = Literal["bought-together", "accessory", "upgrade", "next-price-step"]
MOST_ANCHORS = 50
"""Products that the search starts from, the newest first: who bought more is told by these well enough."""


class Policy(msgspec.Struct, frozen=True):
    """The numbers of the policy ``recommendations``; steps are shares of a price."""

    bought_within_days: int
    not_again_within_days: int
    together_at_least: int
    lift_at_least: Decimal
    price_step_at_least: Decimal
    price_step_at_most: Decimal
    version: int = 0

    def __post_init__(self) -> None:
        if self.price_step_at_least > self.price_step_at_most:
            told = "the next price lies between both steps: price_step_at_least isn't above price_step_at_most"
            raise Contradiction("price_step_at_least", told)


class Held(msgspec.Struct, frozen=True):
    """A product in a customer's history: when he bought it last, and whether any of it was kept, any brought back."""

    last_day: date
    kept: bool
    returned: bool


class Pair(msgspec.Struct, frozen=True):
    """In how many of ``baskets`` a product is found, beside one that the customer keeps (``anchor``)."""

    anchor: str
    sku: str
    together: int
    with_anchor: int
    with_sku: int
    baskets: int

    @property
    def support(self) -> float:
        """The share of all baskets with both (Agrawal, Imielinski and Swami, 1993)."""
        return self.together / self.baskets

    @property
    def confidence(self) -> float:
        """The share of the anchor's baskets with the product, too (the same)."""
        return self.together / self.with_anchor

    @property
    def lift(self) -> float:
        """How many times as often as if nobody chose one for the other (Brin, Motwani, Ullman and Tsur, 1997)."""
        return self.together * self.baskets / (self.with_anchor * self.with_sku)

    @property
    def strength(self) -> float:
        """The log-likelihood ratio G² of the two by two table (Dunning, 1993): ranks few cases below many."""
        rows = (self.with_anchor, self.baskets - self.with_anchor)
        columns = (self.with_sku, self.baskets - self.with_sku)
        cells = (
            (self.together, 0, 0),
            (rows[0] - self.together, 0, 1),
            (columns[0] - self.together, 1, 0),
            (columns[1] - rows[0] + self.together, 1, 1),
        )
        return 2 * sum(n * math.log(n * self.baskets / (rows[r] * columns[c])) for n, r, c in cells if n)


class Reason(msgspec.Struct, frozen=True):
    """Why: ``because_of`` is a product that the customer keeps. Figures where the reason has any."""

    code: Code
    text: str
    because_of: str
    pair: Pair | None = None
    price_step: float | None = None


class Recommendation(msgspec.Struct, frozen=True):
    """A product to offer; ``product`` is None where the catalogue doesn't know it."""

    kind: Kind
    sku: str
    product: ProductChanged | None
    reason: Reason


def held(orders: Iterable[Order], house: House) -> dict[str, Held]:
    """A customer's products, of all his orders that weren't cancelled."""
    found: dict[str, Held] = {}
    for order in orders:
        if order.cancelled_at:
            continue
        day = house.day(order.occurred_at)
        for line in order.lines:
            kept = order.counts and line.returned_quantity < line.quantity
            back = not order.counts or line.returned_quantity > 0
            known = found.get(line.sku, Held(day, False, False))
            found[line.sku] = Held(max(known.last_day, day), known.kept or kept, known.returned or back)
    return found


def anchors(holding: Mapping[str, Held], policy: Policy, today: date) -> list[str]:
    """What he bought within the policy's days and kept, the newest first."""
    since = today - timedelta(days=policy.bought_within_days)
    recent = [(product.last_day, sku) for sku, product in holding.items() if product.kept and product.last_day >= since]
    return [sku for _, sku in sorted(recent, reverse=True)[:MOST_ANCHORS]]


def unwanted(holding: Mapping[str, Held], known: Mapping[str, ProductChanged], policy: Policy, today: date) -> set[str]:
    """What isn't offered to him: bought lately, brought back at any time, or durable and his."""
    since = today - timedelta(days=policy.not_again_within_days)
    return {
        sku
        for sku, product in holding.items()
        if product.returned or product.last_day > since or (product.kept and sku in known and known[sku].durable)
    }


def steps(known: Iterable[ProductChanged], policy: Policy) -> dict[tuple[str, str], tuple[ProductChanged, int, int]]:
    """By category and currency the dearest product that he keeps, and the prices of the next step above it."""
    dearest: dict[tuple[str, str], ProductChanged] = {}
    for product in sorted(known, key=lambda product: (product.price.minor, product.sku)):
        dearest[product.category, product.price.currency] = product
    return {
        place: (
            product,
            math.ceil(product.price.minor * (1 + policy.price_step_at_least)),
            math.floor(product.price.minor * (1 + policy.price_step_at_most)),
        )
        for place, product in dearest.items()
        if product.price.minor
    }


def together(pairs: Iterable[Pair], catalogue: Mapping[str, ProductChanged]) -> list[Recommendation]:
    """Each product once, by the strongest of its pairs, the strongest first."""
    best: dict[str, Pair] = {}
    for pair in sorted(pairs, key=lambda pair: (-pair.strength, pair.sku, pair.anchor)):
        best.setdefault(pair.sku, pair)
    return [
        Recommendation(
            "cross-sell",
            pair.sku,
            catalogue.get(pair.sku),
            Reason(
                "bought-together",
                f"in {pair.together} of {pair.with_anchor} baskets with {pair.anchor} ({pair.confidence:.0%}), "
                f"{pair.lift:.1f} times as often as by chance",
                pair.anchor,
                pair,
            ),
        )
        for pair in best.values()
    ]


def of_catalogue(found: Iterable[ProductChanged], mine: Sequence[str]) -> list[Recommendation]:
    """Upgrades and accessories of what he keeps, as the catalogue names them."""
    told = []
    for product in sorted(found, key=lambda product: product.sku):
        if product.upgrade_of in mine:
            why = Reason("upgrade", f"replaces {product.upgrade_of}, which he has", str(product.upgrade_of))
            told.append(Recommendation("up-sell", product.sku, product, why))
        elif owned := next((sku for sku in mine if sku in product.accessory_of), None):
            why = Reason("accessory", f"belongs to {owned}, which he has", owned)
            told.append(Recommendation("cross-sell", product.sku, product, why))
    return told


def dearer(found: Iterable[ProductChanged], below: Mapping[tuple[str, str], ProductChanged]) -> list[Recommendation]:
    """The next price step of a category, over the dearest that he keeps of it."""
    told = []
    for product in sorted(found, key=lambda product: product.sku):
        from_ = below[product.category, product.price.currency]
        step = product.price.minor / from_.price.minor - 1
        text = f"the next price in {product.category} above {from_.sku}, {step:.0%} more"
        why = Reason("next-price-step", text, from_.sku, price_step=step)
        told.append(Recommendation("up-sell", product.sku, product, why))
    return told
