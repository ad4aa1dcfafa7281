"""What profile makes of a person's points, by what loyalty publishes, is what loyalty has: available, pending and held,
less what is owed, after whatever was bought, returned, used, taken back, moved, given, merged and parted."""

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import open_shop
from tests.integration.loyalty.test_merges import merged, parted
from tests.integration.loyalty.test_occasions import resolved
from tests.integration.loyalty.test_spending_story import IDS, RULES, Story
from tests.integration.profile.house import Profile, profile_over, token
from tests.kit.builders import about_order, at, record
from tests.kit.databases import Databases

SEEDS = int(os.environ.get("ROOST_TEST_STORIES", "6"))
STEPS, LOOK = 48, 12
SORRY = {"id": "sorry", "order": 3, "on": "complaint-resolved", "effect": {"bonus": 15}}
POINTS = ("points-earned", "points-reversed", "points-spent", "points-expired")


class Lived(Story):
    """A story with points that no order makes."""

    async def adjust(self) -> None:
        points = self.rng.choice((30, 8, -5, -25))
        await self.post(f"/accounts/{self.rng.choice(IDS)}/adjustments", {"points": points, "reason": "?"})

    async def transfer(self) -> None:
        giver, taker = self.rng.sample(IDS, 2)
        asked = {"from_customer_id": giver, "to_customer_id": taker, "points": self.rng.choice((4, 30))}
        await self.post("/transfers", asked)

    async def complain(self) -> None:
        await self.tell(resolved(f"k-{len(self.told)}", self.rng.choice(IDS), self.days_ago))

    async def empty(self) -> None:
        """All that somebody can use is used, and something of his comes back."""
        customer = self.rng.choice(IDS)
        account = await self.account(customer)
        if account["available"]:
            await self.post("/redemptions", {"customer_id": customer, "points": account["available"]})
        await self.give_back()

    async def live(self) -> None:
        """What the ledger's own story does, and more; all adds up after it."""
        if self.rng.random() < 0.3:
            await self.rng.choice((self.adjust, self.transfer, self.complain, self.empty))()
        else:
            await self.step()

    async def settle(self) -> None:
        """What time has done is written down, and so is published."""
        for job in self.shop.service.runner.jobs:
            await job.run()

    async def published(self) -> list[Record]:
        """What profile reads of it, and the merges."""
        async with self.shop.db.transaction() as tx:
            rows = await fetch(tx, "SELECT topic, key, value FROM outbox ORDER BY id")
        headers = (("content-type", b"application/cloudevents+json"),)
        said = [Record(row["topic"], row["key"], row["value"], headers) for row in rows if row["topic"] in POINTS]
        return [*(one for one in self.told if one.topic.startswith("customer-")), *said]

    async def agrees(self, profile: Profile) -> None:
        for customer in IDS:
            account = await self.account(customer)
            has = account["available"] + account["pending"] + account["held"] - account["debt"]
            assert (await profile.view(customer))["points"] == has, (customer, self.done)


@asynccontextmanager
async def lives(databases: Databases, rng: random.Random) -> AsyncIterator[Lived]:
    async with databases.fresh("loyalty") as database, open_shop(database) as shop:
        await shop.post(active_from=at(2000), rules=[*RULES, SORRY])
        async with shop.client("loyalty:read loyalty:write") as http:
            yield Lived(shop, http, rng)


@asynccontextmanager
async def reads(databases: Databases, lived: Lived) -> AsyncIterator[Profile]:
    async with databases.fresh("profile") as database:
        service = profile_over(database, lived.shop.clock)
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://profile", headers=token()) as client:
            yield Profile(service, lived.shop.clock, client)
        await service.stop()


async def test_what_is_owed_is_below_zero_in_profile_until_it_is_paid(databases: Databases) -> None:
    async with lives(databases, random.Random(0)) as lived, reads(databases, lived) as profile:

        async def look() -> tuple[int, int]:
            await lived.settle()
            await profile.take(*await lived.published())
            await lived.agrees(profile)
            account = await lived.account("c-1")
            return account["available"] - account["debt"], (await profile.view("c-1"))["points"]

        for customer in IDS:
            await lived.buy(customer, days_ago=30)
        had, _ = await look()
        redeemed = await lived.post("/redemptions", {"customer_id": "c-1", "points": had})
        assert await look() == (0, 0)
        await lived.tell(record("purchase-cancelled", about_order("o-0", customer_id="c-1")))
        assert await look() == (-had, -had)
        await lived.post("/accounts/c-1/adjustments", {"points": 10, "reason": "?"})
        assert await look() == (10 - had, 10 - had)
        await lived.post("/transfers", {"from_customer_id": "c-2", "to_customer_id": "c-1", "points": 5})
        assert await look() == (15 - had, 15 - had)
        await lived.tell(merged("c-1", "c-2"))
        await look()
        await lived.tell(parted("c-1", "c-2"))
        assert await look() == (15 - had, 15 - had)
        await lived.post(f"/redemptions/{redeemed['id']}/rollback", {"reason": "?"})
        assert await look() == (15, 15)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_profile_s_points_are_what_loyalty_has_less_what_is_owed(databases: Databases, seed: int) -> None:
    rng = random.Random(f"agrees {seed}")
    async with lives(databases, rng) as lived:
        for customer in IDS * 2:
            await lived.buy(customer, days_ago=rng.randint(20, 300))
        async with reads(databases, lived) as profile:
            for step in range(1, STEPS + 1):
                await lived.live()
                if step % LOOK == 0:
                    await lived.settle()
                    await profile.take(*await lived.published())
                    await lived.agrees(profile)
        records = await lived.published()
        records += rng.choices(records, k=len(records) // 3)
        rng.shuffle(records)
        async with reads(databases, lived) as profile:
            while records:
                size = rng.choice((1, 3, 10, 40))
                batch, records = records[:size], records[size:]
                await profile.take(*batch)
            await lived.agrees(profile)
