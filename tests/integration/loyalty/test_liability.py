"""What the house owes in points is what the ledger's lots hold, to the point and in every month."""

import random
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.db import fetch
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_explanations import KINDS, grant
from tests.integration.loyalty.test_spending_story import IDS, RULES, story
from tests.kit.builders import NOW, at, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "loyalty"
DAY = timedelta(days=1)
SEEDS = 4
LOTS = """
SELECT coalesce(sum(posted) FILTER (WHERE posted_in = 'pending'), 0) AS pending,
       coalesce(sum(posted) FILTER (WHERE posted_in = 'available'), 0) AS available,
       coalesce(sum(held), 0) AS held,
       coalesce(sum(owed - repaid), 0) + (SELECT coalesce(sum(foreign_points), 0) FROM takes) AS debt
FROM lots
"""
PLACES = ("pending", "available", "held", "debt")
VALUE = {"award": 1, "per": {"amount": "10.00", "currency": "TWD"}, "value": {"amount": "0.25", "currency": "TWD"}}


async def liability(client: httpx.AsyncClient, **query: str) -> Any:
    answer = await client.get("/liability", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def lots(shop: Shop) -> dict[str, int]:
    async with shop.db.transaction() as tx:
        (row,) = await fetch(tx, LOTS)
    return {name: int(row[name]) for name in PLACES}


def adds_up(line: Any) -> None:
    points = line["points"]
    added = sum(points[name] for name in ("opening", "issued", "adjusted", "compensation", "transferred"))
    assert added - sum(points[name] for name in ("used", "expired", "reversed")) == points["closing"]
    assert line["pending"] + line["available"] + line["held"] - line["debt"] == points["closing"]
    assert line["money"] == {name: f"{value / 4:.2f}" for name, value in points.items()}


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_it_ties_to_the_lots_in_every_month_of_any_history_and_is_the_same_when_asked_again(
    databases: Databases, seed: int
) -> None:
    rng = random.Random(3000 + seed)
    async with story(databases, rng) as lived:
        version = await lived.shop.post(active_from=at(2000), rules=RULES, points=VALUE)
        for customer in IDS * 2:
            await lived.buy(customer, days_ago=rng.randint(20, 300))
        told: list[tuple[str, Any]] = []
        for step in range(40):
            if rng.random() < 0.15:
                await grant(lived.shop, rng.choice(IDS), f"g-{step}", rng.choice(KINDS), 25, version=version)
            await lived.step()
            if step % 4 == 0:
                now = lived.shop.clock.now()
                found = await liability(lived.http)
                assert {name: found["total"][name] for name in PLACES} == await lots(lived.shop)
                for line in [found["total"], *found["months"]]:
                    adds_up(line)
                for name, points in found["total"]["points"].items():
                    assert sum(line["points"][name] for line in found["months"]) == points
                told.append((now.isoformat(), found))
                # An instant is over when nothing is written down in it any more.
                lived.shop.clock.set(now + timedelta(seconds=1))
                await lived.shop.live_until(now + rng.choice((2, 9, 25)) * DAY)
        for as_of, found in told:
            again = await liability(lived.http, as_of=as_of)
            assert {**again, "as_of": None} == {**found, "as_of": None}
        first, last = told[0], told[-1]
        since = await liability(lived.http, as_of=last[0], since=first[1]["since"])
        assert since["total"]["points"]["opening"] == first[1]["total"]["points"]["opening"]
        assert since["total"]["points"]["closing"] == last[1]["total"]["points"]["closing"]


async def test_points_stay_with_the_month_of_their_issue_and_what_is_heard_late_counts_when_it_is(shop: Shop) -> None:
    await shop.post(active_from=at(400), rules=[], points=VALUE)
    async with shop.client("loyalty:read loyalty:write") as client:
        await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="1000", days_ago=40)))
        await shop.take(record("purchase-recorded", purchase("c-1", "o-2", total="500", days_ago=5)))
        shop.clock.set(NOW + 20 * DAY)
        await shop.job("sweep").run()
        key = {"Idempotency-Key": "k-1"}
        await client.post("/redemptions", json={"customer_id": "c-1", "points": 120}, headers=key)
        await shop.take(record("purchase-returned", returned("o-2", customer_id="c-1", days_ago=1)))
        found = await liability(client)
    assert found["since"] == "2026-12"
    columns = ("opening", "issued", "used", "reversed", "closing")
    assert [(line["issued_in"], *(line["points"][name] for name in columns)) for line in found["months"]] == [
        ("2026-10", 100, 0, 100, 0, 0),
        ("2026-11", 50, 0, 20, 50, -20),
    ]
    assert (found["total"]["debt"], found["total"]["money"]["closing"]) == (20, "-5.00")


async def test_what_was_taken_by_hand_is_no_use_and_of_the_month_of_its_points(shop: Shop) -> None:
    await shop.post(active_from=at(400), rules=[], points=VALUE)
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="1000", days_ago=40)))
    async with shop.client("loyalty:read loyalty:write") as client:
        asked = {"points": -30, "reason": "booked twice"}
        answer = await client.post("/accounts/c-1/adjustments", json=asked, headers={"Idempotency-Key": "k"})
        assert answer.status_code in (200, 201), answer.text
        (line,) = (await liability(client))["months"]
    assert (line["issued_in"], line["points"]["used"], line["points"]["adjusted"]) == ("2026-10", 0, -30)
    assert line["points"]["closing"] == 70


async def test_without_a_value_points_are_told_alone_and_only_staff_may_ask_for_the_past(shop: Shop) -> None:
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="1000", days_ago=40)))
    async with shop.client() as client:
        found = await liability(client)
        assert (found["total"]["money"], found["total"]["points"]["closing"]) == (None, 100)
        assert found["expected_breakage"]["points"] is None
        later = datetime.fromisoformat(at(-1)).isoformat()
        assert (await client.get("/liability", params={"as_of": later})).status_code == 422
        assert (await client.get("/liability", params={"since": "2027-01"})).status_code == 422
    async with shop.client(customer_id="c-1") as customer:
        assert (await customer.get("/liability")).status_code in (403, 404)
    async with shop.client(None) as nobody:
        assert (await nobody.get("/liability")).status_code == 401
