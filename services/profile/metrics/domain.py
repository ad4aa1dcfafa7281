"""The house's key figures: what each says, in words, under a version that changes when its meaning does."""

from datetime import date
from typing import Literal, get_args

import msgspec

from services.profile.reports.domain import Figures
from shared.contracts.orders import pieces
from shared.contracts.types import decimal_of

Name = Literal["retention", "repurchase", "referral", "churn", "satisfaction", "sales", "products", "cohorts"]
NAMES: tuple[Name, ...] = get_args(Name)
Worst = Literal["sold", "return_rate", "complaint_rate"]
"""What products are ordered by, the most first."""

_ORDERS = (
    "Orders count as they stand now: the highest version, not cancelled, not given back whole, on the day of the house "
    "on which they were placed. Ids that were merged are one person."
)
DEFINITIONS: dict[Name, tuple[int, str]] = {
    "retention": (
        1,
        "Of the persons who bought in the period before, of the same length (denominator), those who bought in the "
        f"period, too (numerator). count: the orders of both periods. {_ORDERS}",
    ),
    "repurchase": (
        1,
        "Of the persons who bought in the period (denominator), those who did so on two days or more (numerator). "
        f"count: the orders of the period. {_ORDERS}",
    ),
    "referral": (
        2,
        "Of the persons who bought for the first time in the period (denominator), those whose first order named a "
        "referral code (numerator), whoever's it is: only what the till or shop writes into the order is known, word "
        "of mouth without a code isn't, and whether the code earns anybody a reward is loyalty's to say. count: their "
        f"orders in the period. {_ORDERS}",
    ),
    "satisfaction": (
        1,
        "Of the ratings of 1 to 5 that customers gave in the period (denominator), those of 4 and 5 (numerator); "
        "every rating counts, whatever kind of feedback it came with. low are those of 1 and 2. It is no net promoter "
        "score: nobody is asked from 0 to 10 whether he would recommend. count: all feedback, rated or not.",
    ),
    "products": (
        1,
        "Pieces given back, whenever that was (numerator), of the pieces sold in the orders of the period "
        "(denominator); of a product, besides, its complaints in the period over its orders. A return that names an "
        "amount and no lines gives back no pieces; a complaint that names no sku is no product's. count: orders, "
        f"those given back whole among them. {_ORDERS}",
    ),
    "churn": (
        1,
        "Of the persons who were customers when the period began (denominator), those who were lost when it ended "
        "(numerator). A customer has bought and isn't lost; lost is who has been silent for so long as the policy "
        "lifecycle says, measured against his own rhythm where he has one. won: bought for the first time; won_back: "
        "bought after he was lost; opening + won + won_back - lost = closing. Weeks begin on Monday. count: the "
        f"orders of all times before the period's end. {_ORDERS}",
    ),
    "sales": (
        2,
        "Net sales in the house's currency (numerator) over the orders (denominator): what an order brings. Net is "
        "paid less given back, whenever it was given back, on the day of the order; returns_rate is given back over "
        "gross. An order in another currency is converted by the rate of its day with which it was first counted, "
        "rounded half to even; without a rate it is in unconverted, and not in the sums. top_share is the part of net "
        f"that the best 20 % of the buyers bring. count: orders, those given back whole among them. {_ORDERS}",
    ),
    "cohorts": (
        1,
        "Persons by the month of their first order, so far as it lies in the period (denominator), and those of them "
        "who bought in a later month before the period's end (numerator). A cell tells who of a cohort bought so many "
        f"months after the first. count: the cohorts' orders. {_ORDERS}",
    ),
}


class Ratio(msgspec.Struct, frozen=True):
    """Persons of persons, and the orders that were counted for it."""

    numerator: int
    denominator: int
    count: int

    @property
    def figures(self) -> Figures:
        return Figures(self.numerator, self.denominator, share(self.numerator, self.denominator), self.count)


class Week(msgspec.Struct, frozen=True):
    """Who came and who went in a week, from a Monday on; the first and the last may be cut by the period."""

    week: date
    won: int
    won_back: int
    lost: int

    @property
    def net(self) -> int:
        return self.won + self.won_back - self.lost


class Churn(msgspec.Struct, frozen=True):
    """``ratio``: lost at the end, of the customers at the beginning."""

    ratio: Ratio
    opening: int
    closing: int
    weeks: tuple[Week, ...]


class Sales(msgspec.Struct, frozen=True):
    """Money in minor units. ``best``: how many buyers the best 20 % are, and what they bring."""

    orders: int
    buyers: int
    gross: int
    net: int
    count: int
    best: int
    best_net: int
    unconverted: tuple[tuple[str, int, int], ...]

    def figures(self, currency: str) -> Figures:
        """In major units of the house's currency."""
        net = decimal_of(self.net, currency)
        return Figures(net, self.orders, float(net) / self.orders if self.orders else None, self.count)


class Voice(msgspec.Struct, frozen=True):
    """Feedback of a kind: ``rated`` from 1 to 5, of these ``high`` 4 and 5, ``low`` 1 and 2; ``stars`` in sum."""

    kind: str
    count: int
    rated: int
    high: int
    low: int
    stars: int


class Satisfaction(msgspec.Struct, frozen=True):
    """What customers said, by kind."""

    kinds: tuple[Voice, ...]

    @property
    def ratio(self) -> Ratio:
        return Ratio(*(sum(getattr(one, name) for one in self.kinds) for name in ("high", "rated", "count")))


class Sold(msgspec.Struct, frozen=True):
    """A product: thousandths of pieces sold and given back, its orders, and the complaints that name it."""

    sku: str
    orders: int
    sold: int
    returned: int
    complaints: int


class Products(msgspec.Struct, frozen=True):
    """All that was sold, and some of the products."""

    orders: int
    sold: int
    returned: int
    items: tuple[Sold, ...]

    @property
    def figures(self) -> Figures:
        return Figures(pieces(self.returned), pieces(self.sold), share(self.returned, self.sold), self.orders)


class Cell(msgspec.Struct, frozen=True):
    """What the cohort of a month did so many months later. Net in minor units of the house's currency."""

    month: date
    later: int
    buyers: int
    orders: int
    net: int


def share(part: int, whole: int) -> float | None:
    """None of nothing."""
    return part / whole if whole else None
