"""How the members of a segment buy in a period, and whether that is another way than in the one before.

Tests are of members, not of orders: one buys eight times where another buys once, and an order has several categories,
so orders aren't independent. Where nothing has changed, a member's two periods may as well be exchanged.
"""

from collections.abc import Mapping, Sequence

import msgspec

from services.profile.demand.flips import Mix, mix_changed
from services.profile.patterns import significance
from services.profile.patterns.domain import Tested

MOST_ALONE = 49
"""Categories that are tested each by itself."""


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


class Counted(msgspec.Struct, frozen=True):
    """What is compared. ``periods``: by whether it is the later one; without orders it isn't there.

    Of the members, now - before, where it isn't 0: ``orders``, and ``baskets``, the mean of who has some in both
    periods, in minor units; both in no order. ``mix``: the members' numbers from 0, places in ``categories``, and the
    orders with that category.
    """

    members: int
    periods: Mapping[bool, Demand]
    categories: Sequence[Part]
    channels: Sequence[Part]
    orders: Sequence[int]
    baskets: Sequence[float]
    mix: tuple[Sequence[int], Sequence[int], Sequence[int]]


class Change(msgspec.Struct, frozen=True):
    """The period against the one before, of the same length; of categories and channels the greatest shift first."""

    before: Demand
    now: Demand
    frequency: Tested
    basket: Tested
    category: Tested
    categories: tuple[Part, ...]
    channels: tuple[Part, ...]


def change(counted: Counted) -> Change:
    """What has changed. Takes a second for 200,000 members: not for the event loop."""
    columns, both = pooled(counted.categories)
    members, places, by = counted.mix
    mix = Mix(both, members, [columns[place] for place in places], by)
    before, now = counted.periods.get(False, Demand()), counted.periods.get(True, Demand())
    return Change(
        before,
        now,
        Tested("signed rank of members' orders, Wilcoxon (1945)", significance.signed_rank(counted.orders)),
        Tested("signed rank of members' mean baskets, Wilcoxon (1945)", significance.signed_rank(counted.baskets)),
        Tested("randomisation of members' periods, Fisher (1935)", mix_changed(mix)),
        _shifts(counted.categories, before, now),
        _shifts(counted.channels, before, now),
    )


def pooled(categories: Sequence[Part]) -> tuple[list[int], list[int]]:
    """The column in which each is tested, and both periods' orders by column. Those of fewer than 5 orders a period on
    the mean (Cochran, 1954), and all beyond 49, are together in the last."""
    both = [part.before + part.now for part in categories]
    enough = (place for place, orders in enumerate(both) if orders >= 2 * significance.LEAST_EXPECTED)
    alone = sorted(enough, key=lambda place: -both[place])[:MOST_ALONE]
    column = {place: n for n, place in enumerate(alone)}
    rest = sum(both) - sum(both[place] for place in alone)
    columns = [column.get(place, len(alone)) for place in range(len(both))]
    return columns, [both[place] for place in alone] + ([rest] if rest else [])


def _shifts(parts: Sequence[Part], before: Demand, now: Demand) -> tuple[Part, ...]:
    def shift(part: Part) -> float:
        return abs(share(part.now, now.orders) - share(part.before, before.orders))

    return tuple(sorted(parts, key=lambda part: (-shift(part), part.name)))


def share(part: int, whole: int) -> float:
    """Of nothing there is no share."""
    return part / whole if whole else 0.0
