"""Whatever is bought, returned, moved, merged, parted, held, used and taken back: the ledger adds up at every step, and
what was published makes it again, in any order and any repetition."""

import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop, open_shop
from tests.integration.loyalty.test_merges import merged, parted
from tests.kit.builders import NOW, about_order, at, line, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "loyalty"
SEEDS = int(os.environ.get("ROOST_TEST_STORIES", "8"))
STEPS = 45
IDS = ("c-1", "c-2", "c-3")
PAIRS = (("c-1", "c-2"), ("c-3", "c-2"))
RULES = [
    {"id": "tea", "order": 1, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"multiply": "3"},
     "cap": {"points": 150, "per": "month"}},
    {"id": "first", "order": 2, "on": "first-purchase", "effect": {"bonus": 40}},
]  # fmt: skip


@dataclass(slots=True)
class Story:
    """A shop that lives, and everything that was told it."""

    shop: Shop
    http: httpx.AsyncClient
    rng: random.Random
    told: list[Record] = field(default_factory=list)
    orders: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    merges: Counter[tuple[str, str]] = field(default_factory=Counter)
    holds: list[str] = field(default_factory=list)
    redeemed: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    @property
    def days_ago(self) -> float:
        return (NOW - self.shop.clock.now()) / timedelta(days=1)

    async def tell(self, *records: Record) -> None:
        self.told += records
        await self.shop.take(*records)

    async def post(self, path: str, body: Any = None) -> Any:
        answer = await self.http.post(path, json=body or {}, headers={"Idempotency-Key": uuid4().hex})
        assert answer.status_code in (200, 201, 404, 409), answer.text
        self.done[f"{path.split('/')[-1]} {answer.status_code}"] += 1
        return answer.json() if answer.status_code < 300 else None

    async def buy(self, customer: str | None = None, days_ago: float | None = None) -> None:
        order = f"o-{len(self.orders)}"
        customer, pieces = customer or self.rng.choice(IDS), self.rng.randint(1, 4)
        self.orders[order] = customer, pieces, 1
        late = self.rng.choice((0, 0, 20, 350))
        await self.tell(self._order(order, customer, pieces, 1, days_ago or self.days_ago + late))

    async def move(self) -> None:
        if self.orders:
            order, (customer, pieces, version) = self.rng.choice(list(self.orders.items()))
            if version < 3:
                customer = self.rng.choice(IDS)
                self.orders[order] = customer, pieces, version + 1
                days_ago = self.days_ago + self.rng.choice((0, 15))
                await self.tell(self._order(order, customer, pieces, version + 1, days_ago))

    async def give_back(self) -> None:
        if self.orders:
            order, (customer, *_) = self.rng.choice(list(self.orders.items()))
            made = returned(order, customer_id=customer, days_ago=self.days_ago, return_id=f"r-{len(self.told)}")
            await self.tell(record("purchase-returned", made))

    async def cancel(self) -> None:
        if self.orders and self.rng.random() < 0.3:
            order, (customer, *_) = self.rng.choice(list(self.orders.items()))
            about = about_order(order, customer_id=customer, days_ago=self.days_ago)
            await self.tell(record("purchase-cancelled", about))

    async def join(self) -> None:
        pair = self.rng.choice(PAIRS)
        self.merges[pair] += 1
        version = self.merges[pair]
        await self.tell((merged if version % 2 else parted)(*pair, version=version))

    async def redeem(self) -> None:
        asked = {"customer_id": self.rng.choice(IDS), "points": self.rng.choice((5, 20, 60))}
        if redeemed := await self.post("/redemptions", asked):
            self.redeemed.append(redeemed["id"])

    async def hold(self) -> None:
        asked = {"customer_id": self.rng.choice(IDS), "points": self.rng.choice((10, 40))}
        if (quote := await self.post("/quotes", asked)) and (
            hold := await self.post("/holds", {"quote_id": quote["id"], "ttl": self.rng.choice((60, 86_400))})
        ):
            self.holds.append(hold["id"])

    async def commit(self) -> None:
        if self.holds:
            hold = self.rng.choice(self.holds)
            body = self.rng.choice(({}, {"points": 7}))
            if redeemed := await self.post(f"/holds/{hold}/commit", body):
                self.redeemed.append(redeemed["id"])

    async def void(self) -> None:
        if self.holds:
            await self.post(f"/holds/{self.rng.choice(self.holds)}/void")

    async def take_back(self) -> None:
        if self.redeemed:
            await self.post(f"/redemptions/{self.rng.choice(self.redeemed)}/rollback", {"reason": "?"})

    async def wait(self) -> None:
        step = timedelta(hours=self.rng.choice((1, 30, 400)))
        if self.rng.random() < 0.5:
            await self.shop.live_until(self.shop.clock.now() + step)
        else:
            self.shop.clock.set(self.shop.clock.now() + step)

    async def step(self) -> None:
        """Something happens, and all adds up after it."""
        acts = (
            self.buy, self.buy, self.buy, self.move, self.give_back, self.give_back, self.cancel, self.join,
            self.redeem, self.redeem, self.redeem, self.hold, self.hold, self.commit, self.void, self.take_back,
            self.wait, self.wait,
        )  # fmt: skip
        act = self.rng.choice(acts)
        await act()
        if self.rng.random() < 0.3:
            await self.write_down(act.__name__)
        proof = await self.shop.verified()
        assert (proof.broken, sum(proof.books.values())) == (None, 0), act.__name__
        for customer in IDS:
            await self.adds_up(customer, act.__name__)

    async def write_down(self, after: str) -> None:
        """What the jobs write down is so already: nothing that anybody is shown waits for them."""
        shown = [await self.account(customer) for customer in IDS]
        for name in ("holds", "sweep"):
            await self.shop.job(name).run()
        assert [await self.account(customer) for customer in IDS] == shown, after

    async def adds_up(self, customer: str, after: str) -> None:
        account = await self.account(customer)
        if account is None:
            return
        lots = (await self.http.get(f"/accounts/{customer}/lots", params={"limit": 200})).json()["items"]
        assert min(account[name] for name in ("available", "pending", "held", "debt")) >= 0, after
        assert not (account["available"] and account["debt"]), f"{after}: what is there pays what is owed"
        for lot in lots:
            used = lot["spent"] + lot["held"] + lot["repaid"]
            assert lot["free"] == max(0, lot["points"] - used), after
            assert lot["owed"] == max(0, used - lot["points"]), after

    async def account(self, customer: str) -> Any:
        """What he is shown; None where loyalty has never heard of him."""
        answer = await self.http.get(f"/accounts/{customer}")
        return answer.json() if answer.status_code == 200 else None

    async def commands(self) -> list[Record]:
        """What was published of commands, as it comes back from the broker."""
        async with self.shop.db.transaction() as tx:
            rows = await fetch(tx, "SELECT topic, key, value, headers FROM outbox ORDER BY id")
        topics = ("points-spent", "points-granted")
        headers = (("content-type", b"application/cloudevents+json"),)
        return [Record(row["topic"], row["key"], row["value"], headers) for row in rows if row["topic"] in topics]

    def _order(self, order: str, customer: str, pieces: int, version: int, days_ago: float) -> Record:
        total = f"{pieces * 150}.00"
        lines = [line(amount="150.00", quantity=pieces, category=self.rng.choice(("tea", "cups")))]
        data = purchase(customer, order, total=total, days_ago=days_ago, lines=lines, order_version=version)
        return record("purchase-recorded", data)


@asynccontextmanager
async def story(databases: Databases, rng: random.Random) -> AsyncIterator[Story]:
    async with opened(databases, RULES) as (shop, http):
        yield Story(shop, http, rng)


@asynccontextmanager
async def opened(
    databases: Databases, rules: Sequence[dict[str, Any]]
) -> AsyncIterator[tuple[Shop, httpx.AsyncClient]]:
    """A shop with these rules on a database of its own, and staff."""
    async with databases.fresh(SERVICE) as database, open_shop(database) as shop:
        await shop.post(active_from=at(2000), rules=rules)
        async with shop.client("loyalty:read loyalty:write") as http:
            yield shop, http


async def live(rng: random.Random, begun: Callable[[], AbstractAsyncContextManager[Story]], proof_of: str) -> None:
    """A story, and another that is told what was told and published in it, in any order and repetition.

    ``proof_of``: what has to have been done at least once for it to prove anything.
    """
    async with begun() as lived:
        for customer in IDS * 2:
            await lived.buy(customer, days_ago=rng.randint(20, 300))
        for step in range(4 * STEPS):
            if step >= STEPS and lived.done[proof_of]:
                break
            await lived.step()
        assert lived.done[proof_of], lived.done
        # What is only held isn't told: it ends by itself.
        lived.shop.clock.set(lived.shop.clock.now() + timedelta(days=2))
        for job in lived.shop.service.runner.jobs:
            await job.run()
        now, expected = lived.shop.clock.now(), await lived.shop.state_hash()
        records = lived.told + await lived.commands()
        balances = [await lived.account(customer) for customer in IDS]
    records += rng.choices(records, k=len(records) // 3)
    rng.shuffle(records)
    async with begun() as again:
        again.shop.clock.set(now)
        while records:
            size = rng.choice((1, 3, 10))
            batch, records = records[:size], records[size:]
            await again.shop.take(*batch)
            proof = await again.shop.verified()
            assert (proof.broken, sum(proof.books.values())) == (None, 0)
        assert await again.shop.state_hash() == expected
        assert [await again.account(customer) for customer in IDS] == balances


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_the_ledger_adds_up_at_every_step_and_is_made_again_of_what_was_published(
    databases: Databases, seed: int
) -> None:
    rng = random.Random(seed)
    await live(rng, lambda: story(databases, rng), "redemptions 201")
