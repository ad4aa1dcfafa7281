"""How the members of a segment buy in a period, and whether that is another way than in the one before."""

from collections.abc import Mapping, Sequence

import msgspec

from services.profile.patterns import significance
from services.profile.patterns.domain import Tested


class Part(msgspec.Struct, frozen=True):
    """Orders of a category, or by a channel, in both periods; '' is a line that names no category."""

    name: str
    before: int
    now: int


class Demand(msgspec.Struct, frozen=True):
    """A period's orders that stand. ``spend`` of the ``converted``, in minor units of the house's currency, net of
    returns; of the others there is no rate."""

    orders: int = 0
    buyers: int = 0
    converted: int = 0
    spend: int = 0

    @property
    def average_basket(self) -> int | None:
        """Rounded half up, in minor units."""
        return (2 * self.spend + self.converted) // (2 * self.converted) if self.converted else None


class Ranks(msgspec.Struct, frozen=True):
    """The baskets of both periods in one order of their sizes: how many, the sum of the ranks of the earlier ones, and
    over all groups of equal ones the sum of n³ - n."""

    before: int
    now: int
    rank_sum: float
    ties: int


class Change(msgspec.Struct, frozen=True):
    """The period against the one before, of the same length; of categories and channels the greatest shift first."""

    before: Demand
    now: Demand
    frequency: Tested
    basket: Tested
    category: Tested
    categories: tuple[Part, ...]
    channels: tuple[Part, ...]


def change(
    periods: Mapping[bool, Demand], categories: Sequence[Part], channels: Sequence[Part], ranks: Ranks
) -> Change:
    """What has changed. ``periods``: by whether it is the later one."""
    before, now = periods.get(False, Demand()), periods.get(True, Demand())
    p_value = significance.two_counts(before.orders, now.orders) if before.orders + now.orders else None
    named = ({one.name: one.before for one in categories}, {one.name: one.now for one in categories})
    return Change(
        before,
        now,
        Tested("conditional binomial, Przyborowski and Wilenski (1940)", p_value),
        Tested(
            "rank sum, Mann and Whitney (1947)",
            significance.rank_sum(ranks.before, ranks.now, ranks.rank_sum, ranks.ties),
        ),
        Tested("chi-squared test of homogeneity, Pearson (1900)", significance.shares(*named)),
        _shifts(categories, before, now),
        _shifts(channels, before, now),
    )


def _shifts(parts: Sequence[Part], before: Demand, now: Demand) -> tuple[Part, ...]:
    def shift(part: Part) -> float:
        return abs(share(part.now, now.orders) - share(part.before, before.orders))

    return tuple(sorted(parts, key=lambda part: (-shift(part), part.name)))


def share(part: int, whole: int) -> float:
    """Of nothing there is no share."""
    return part / whole if whole else 0.0
