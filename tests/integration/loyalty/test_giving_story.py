"""Points by hand, from one to another and by occasions, among everything else that moves points: the ledger adds up at
every step, and what was published makes it again, in any order and any repetition."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from tests.integration.loyalty.shop import open_shop
from tests.integration.loyalty.test_occasions import active, resolved, rule
from tests.integration.loyalty.test_spending_story import IDS, RULES, SEEDS, STEPS, Story
from tests.kit.builders import at
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
    async with databases.fresh(SERVICE) as database, open_shop(database) as shop:
        await shop.post(active_from=at(2000), rules=GIVING)
        async with shop.client("loyalty:read loyalty:write") as http:
            yield GivingStory(shop, http, rng)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_what_is_given_adds_up_at_every_step_and_is_made_again_of_what_was_published(
    databases: Databases, seed: int
) -> None:
    rng = random.Random(seed)
    async with story(databases, rng) as lived:
        for customer in IDS * 2:
            await lived.buy(customer, days_ago=rng.randint(20, 300))
        for _ in range(STEPS):
            await lived.step()
        assert lived.done["transfers 201"], lived.done
        lived.shop.clock.set(lived.shop.clock.now() + timedelta(days=2))
        for job in lived.shop.service.runner.jobs:
            await job.run()
        now, expected = lived.shop.clock.now(), await lived.shop.state_hash()
        records = lived.told + await lived.commands()
        balances = [await lived.account(customer) for customer in IDS]
    records += rng.choices(records, k=len(records) // 3)
    rng.shuffle(records)
    async with story(databases, rng) as again:
        again.shop.clock.set(now)
        while records:
            size = rng.choice((1, 3, 10))
            batch, records = records[:size], records[size:]
            await again.shop.take(*batch)
            proof = await again.shop.verified()
            assert (proof.broken, sum(proof.books.values())) == (None, 0)
        assert await again.shop.state_hash() == expected
        assert [await again.account(customer) for customer in IDS] == balances
