"""What to offer a customer next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.profile.counting.application import Counting
from services.profile.policies import application as policies
from services.profile.products.application import Catalogue
from services.profile.purchases.domain import House
from services.profile.recommendations import store
from services.profile.recommendations.domain import (
    Policy,
    Recommendation,
    anchors,
    dearer,
    held,
    of_catalogue,
    steps,
    together,
    unwanted,
)
from shared.clock import Clock
from shared.db import Tx
from shared.messaging import facts


class Recommended(msgspec.Struct, frozen=True):
    """``counted_at``: how far the baskets are counted; the customer's own orders are those of this moment."""

    items: list[Recommendation]
    policy_version: int
    counted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Recommendations:
    """The use case of this module."""

    catalogue: Catalogue
    counting: Counting
    house: House
    clock: Clock

    async def of(self, tx: Tx, ids: Sequence[str], limit: int) -> Recommended:
        """For the person of these ids: at most ``limit`` of each kind, what the catalogue says before what is counted,
        each product once."""
        policy = await policies.newest(tx, "recommendations", Policy)
        today = self.house.day(self.clock.now())
        orders = [order for found in (await facts.orders_of(tx, ids)).values() for order in found]
        holding = held(orders, self.house)
        mine = anchors(holding, policy, today)
        known = await self.catalogue.named(tx, holding)
        without = unwanted(holding, known, policy, today) | set(mine)

        said = of_catalogue(await self.catalogue.for_owners(tx, mine), mine)
        ladder = steps((known[sku] for sku in mine if sku in known), policy)
        ranges = [(*place, low, high) for place, (_, low, high) in sorted(ladder.items())]
        above = dearer(
            await self.catalogue.next_step(tx, ranges, without),
            {place: product for place, (product, _, _) in ladder.items()},
        )
        pairs = await store.pairs(tx, mine, sorted(without), policy)
        counted = together(pairs, await self.catalogue.named(tx, (pair.sku for pair in pairs)))
        chosen: dict[str, Recommendation] = {}
        for one in (*said, *above, *counted):
            if one.sku not in without:
                chosen.setdefault(one.sku, one)
        items = [
            one
            for kind in ("cross-sell", "up-sell")
            for one in [found for found in chosen.values() if found.kind == kind][:limit]
        ]
        return Recommended(items, policy.version, await self.counting.counted_at(tx))
