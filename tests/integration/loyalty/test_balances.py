"""What somebody had at an instant, by what was known at another: the entries say it, and always will."""

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_explanations import grant
from tests.integration.loyalty.test_spending_story import IDS, Story, story
from tests.kit.builders import NOW, at, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "loyalty"
DAY = timedelta(days=1)
SEEDS = 4
NAMES = ("available", "pending", "held", "debt", "expired")


async def entries(lived: Story, customer: str) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while not found or cursor:
        query = {"limit": 200} | ({"cursor": cursor} if cursor else {})
        page = (await lived.http.get(f"/accounts/{customer}/entries", params=query)).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if not page["items"]:
            break
    return found


def folded(entries: list[Any], as_of: datetime, known_by: datetime) -> list[int]:
    books: Counter[str] = Counter()
    for entry in entries:
        happened, known = (datetime.fromisoformat(entry[name]) for name in ("occurred_at", "known_at"))
        if happened <= as_of and known <= known_by:
            books[entry["credit"]] += entry["points"]
            books[entry["debit"]] -= entry["points"]
    return [-books[name] if name == "debt" else books[name] for name in NAMES]


async def balance(lived: Story, customer: str, **query: str) -> list[int]:
    answer = await lived.http.get(f"/accounts/{customer}/balance", params=query)
    assert answer.status_code == 200, answer.text
    return [answer.json()[name] for name in NAMES]


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_as_of_any_two_times_it_is_the_fold_of_the_entries_and_now_what_the_account_shows(
    databases: Databases, seed: int
) -> None:
    rng = random.Random(2000 + seed)
    async with story(databases, rng) as lived:
        for customer in IDS * 2:
            await lived.buy(customer, days_ago=rng.randint(20, 300))
        for step in range(30):
            if step % 9 == 4:
                await grant(lived.shop, rng.choice(IDS), f"g-{step}", "gift", 25)
            await lived.step()
        for job in lived.shop.service.runner.jobs:
            await job.run()
        now = lived.shop.clock.now()
        for customer in IDS:
            written = await entries(lived, customer)
            for _ in range(12):
                as_of, known_by = (now - rng.random() * span * DAY for span in (400, 20))
                query = {"as_of": as_of.isoformat(), "known_by": known_by.isoformat()}
                assert await balance(lived, customer, **query) == folded(written, as_of, known_by)
            account = await lived.account(customer)
            assert await balance(lived, customer) == folded(written, now, now)
            available, pending, held, debt, _ = await balance(lived, customer)
            # What backs a hold on points that went with another id is paid, and not owed before it is taken.
            settling = min(available, debt)
            assert settling <= 0
            shown = [available - settling, pending, held, debt - settling]
            assert shown == [account[name] for name in NAMES[:4]]


async def test_what_came_late_was_not_known_before(shop: Shop) -> None:
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="1000", days_ago=3)))
    shop.clock.set(NOW + DAY)
    await shop.take(record("purchase-returned", returned("o-1", customer_id="c-1", days_ago=1)))
    async with shop.client(customer_id="c-1") as owner:
        asked = [(at(4), at(0)), (at(2), at(0)), (at(0), at(0)), (at(2), at(-2)), (at(0), at(-2))]
        told = []
        for as_of, known_by in asked:
            answer = await owner.get("/accounts/c-1/balance", params={"as_of": as_of, "known_by": known_by})
            told.append(answer.json()["pending"])
    assert told == [0, 100, 100, 100, 0]
