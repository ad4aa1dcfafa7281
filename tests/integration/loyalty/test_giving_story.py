"""Points by hand, from one to another and by occasions, among everything else that moves points: the ledger adds up at
every step, and what was published makes it again, in any order and any repetition."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.integration.loyalty.test_occasions import active, resolved, rule
from tests.integration.loyalty.test_spending_story import IDS, RULES, SEEDS, Story, live, opened
from tests.kit.databases import Databases

SERVICE = "loyalty"
GIVING = [*RULES, rule("activity", 7, cap={"points": 17, "per": "month"}), rule("complaint-resolved", 30)]


class GivingStory(Story):
    """The same, with what gives points that no order made."""

    async def step(self) -> None:
        """One or the other happens, and all adds up after it."""
        if self.rng.random() < 0.5:
            await super().step()
            return
        act = self.rng.choice((self.adjust, self.transfer, self.transfer, self.transfer, self.happen))
        await act()
        proof = await self.shop.verified()
        assert (proof.broken, sum(proof.books.values())) == (None, 0), act.__name__
        for customer in IDS:
            await self.adds_up(customer, act.__name__)

    async def adjust(self) -> None:
        points = self.rng.choice((15, 80, -10, -60))
        await self.post(f"/accounts/{self.rng.choice(IDS)}/adjustments", {"points": points, "reason": "?"})

    async def transfer(self) -> None:
        giver, taker = self.rng.choice(IDS), self.rng.choice(IDS)
        points = self.rng.choice((3, 25, 70))
        await self.post("/transfers", {"from_customer_id": giver, "to_customer_id": taker, "points": points})

    async def happen(self) -> None:
        n, customer, days_ago = self.rng.randint(1, 9), self.rng.choice(IDS), self.days_ago
        await self.tell(
            active(f"v-{len(self.told)}", customer=customer, days_ago=days_ago),
            resolved(f"k-{n}", IDS[n % 3], days_ago=days_ago),
        )


@asynccontextmanager
async def story(databases: Databases, rng: random.Random) -> AsyncIterator[GivingStory]:
    async with opened(databases, GIVING) as (shop, http):
        yield GivingStory(shop, http, rng)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_what_is_given_adds_up_at_every_step_and_is_made_again_of_what_was_published(
    databases: Databases, seed: int
) -> None:
    rng = random.Random(seed)
    await live(rng, lambda: story(databases, rng), "transfers 201")
