"""A budget and caps that all customers share, on a real database: never exceeded, given back, and kept as granted."""

import asyncio
import random
from datetime import timedelta
from typing import Any

from services.loyalty.exports.store import SECTIONS
from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_http import PROGRAMME, STAFF
from tests.kit.builders import NOW, about_order, line, money, purchase, record, returned

SERVICE = "loyalty"
BUDGET = {"points": 1_000, "per": "month"}
SHARED = {
    "id": "tea", "order": 1, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"bonus": 30},
    "cap": {"points": 500, "per": "month", "scope": "programme"},
}  # fmt: skip


def bought(customer: str, order: str, total: str = "500", days_ago: float = 0, quantity: int = 1) -> Record:
    tea = [line(amount=total, quantity=quantity, category="tea")]
    return record("purchase-recorded", purchase(customer, order, total=total, days_ago=days_ago, lines=tea), id=order)


async def awarded(shop: Shop) -> dict[str, int]:
    """Every order's points."""
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT source_id, points FROM lots WHERE origin = 'order'")
    return {row["source_id"]: row["points"] for row in rows}


async def pools(shop: Shop) -> dict[tuple[str, str], int]:
    """What was given of each pool; first made sure that it is what the grants have of it."""
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT rule, period, given FROM pools")
        sums = await fetch(tx, "SELECT rule, period, sum(used)::bigint AS given FROM pool_grants GROUP BY rule, period")
    given = {(row["rule"], row["period"]): row["given"] for row in rows if row["given"]}
    assert given == {(row["rule"], row["period"]): row["given"] for row in sums if row["given"]}
    return given


async def test_fifty_who_earn_at_once_never_get_more_than_the_budget_and_the_cap_have(shop: Shop) -> None:
    await shop.post(rules=[SHARED], budget=BUDGET)
    await asyncio.gather(*(shop.take(bought(f"c-{n}", f"o-{n}")) for n in range(50)))
    assert sum((await awarded(shop)).values()) == 1_000
    given = await pools(shop)
    assert given["/budget", "2026-11"] == 1_000
    assert given["tea", "2026-11"] <= 500
    proof = await shop.verified()
    assert (proof.broken, proof.books["issued"]) == (None, -1_000)


async def test_what_returns_free_is_earned_by_others_and_no_more(shop: Shop) -> None:
    await shop.post(rules=[SHARED], budget=BUDGET)
    await shop.take(*(bought(f"c-{n}", f"o-{n}", quantity=2) for n in range(20)))
    before = await awarded(shop)
    assert sum(before.values()) == 1_000
    back = [record("purchase-returned", returned(f"o-{n}", customer_id=f"c-{n}")) for n in range(10)]
    back.append(record("purchase-cancelled", about_order("o-10", customer_id="c-10")))
    await asyncio.gather(
        *(shop.take(one) for one in back), *(shop.take(bought(f"d-{n}", f"p-{n}")) for n in range(50))
    )
    after = await awarded(shop)
    assert sum(after.values()) <= 1_000
    assert {order: points for order, points in after.items() if order in before and int(order[2:]) > 10} == {
        order: points for order, points in before.items() if int(order[2:]) > 10
    }
    await shop.take(bought("e", "late"))
    assert sum((await awarded(shop)).values()) == (await pools(shop))["/budget", "2026-11"] == 1_000
    assert (await shop.verified()).broken is None


async def test_a_late_fact_and_a_repeated_one_leave_what_was_granted(shop: Shop) -> None:
    await shop.post(rules=[SHARED], budget={"points": 100, "per": "month"})
    await shop.take(bought("c-1", "o-1", "400", days_ago=2), bought("c-2", "o-2", "400", days_ago=1))
    assert await awarded(shop) == {"o-1": 70, "o-2": 30}
    await shop.take(record("purchase-delivered", about_order("o-2", customer_id="c-2")))
    await shop.take(bought("c-2", "o-0", "400", days_ago=10), bought("c-2", "o-2", "400", days_ago=1))
    assert await awarded(shop) == {"o-0": 0, "o-1": 70, "o-2": 30}
    await shop.take(record("purchase-cancelled", about_order("o-1", customer_id="c-1")))
    await shop.take(record("purchase-delivered", about_order("o-0", customer_id="c-2")))
    assert await awarded(shop) == {"o-0": 0, "o-1": 0, "o-2": 30}
    moved = purchase("c-3", "o-2", total="400", days_ago=1, order_version=2)
    await shop.take(record("purchase-recorded", moved))
    assert await awarded(shop) == {"o-0": 0, "o-1": 0, "o-2": 30}
    assert await pools(shop) == {("/budget", "2026-11"): 30}


async def test_orders_of_many_customers_in_random_batches_stay_within_and_agree_with_their_explanation(
    shop: Shop,
) -> None:
    own = {"id": "own", "order": 2, "on": "purchase", "effect": {"multiply": "2"}, "cap": {"points": 60, "per": "week"}}
    await shop.post(
        active_from=(NOW - timedelta(days=50)).isoformat(), rules=[SHARED, own], budget={"points": 400, "per": "month"}
    )
    dice = random.Random(7)
    records = []
    for n in range(60):
        customer, days_ago = f"c-{n % 7}", dice.uniform(0, 40)
        records.append(bought(customer, f"o-{n}", str(dice.randrange(100, 900)), days_ago, quantity=3))
        if n % 3 == 0:
            records.append(record("purchase-returned", returned(f"o-{n}", customer_id=customer)))
        if n % 10 == 9:
            records.append(record("purchase-cancelled", about_order(f"o-{n}", customer_id=customer)))
    dice.shuffle(records)
    await asyncio.gather(*(shop.take(*records[n : n + 5]) for n in range(0, len(records), 5)))
    given = await pools(shop)
    of_budget = [points for (rule, _), points in given.items() if rule == "/budget"]
    assert max(of_budget) <= 400
    assert sum(of_budget) == sum((await awarded(shop)).values())
    for n in range(7):
        async with shop.client() as client:
            tree = (await client.get(f"/accounts/c-{n}/explanation")).json()
        for order in tree["orders"]:
            assert sum(leaf["points"] for leaf in order["leaves"]) == order["points"]
        assert tree["available"] + tree["pending"] == (await shop.balance(f"c-{n}")).lifetime_earned
    assert (await shop.verified()).broken is None


async def test_a_simulation_tells_what_is_left_and_takes_nothing(shop: Shop) -> None:
    await shop.post(rules=[SHARED], budget={"points": 60, "per": "month"})
    await shop.take(bought("c-1", "o-1", "300"))
    basket = purchase("c-2", total="300", lines=[line(amount="300", category="tea")])
    del basket["order_id"]
    async with shop.client(STAFF) as client:
        for _ in range(2):
            told = (await client.post("/simulations", json={"purchase": basket})).json()
            parts = [(part["rule"], part["wanted"], part["awarded"]) for part in told["parts"]]
            assert parts == [("base", 30, 0), ("tea", 30, 0)]
        await shop.take(record("purchase-returned", returned("o-1", customer_id="c-1", amount=money("100"))))
        told = (await client.post("/simulations", json={"purchase": basket})).json()
    assert (told["points"], [part["awarded"] for part in told["parts"]]) == (10, [10, 0])


async def test_a_budget_is_applied_and_no_longer_named_as_waiting(shop: Shop) -> None:
    async with shop.client(STAFF) as client:
        posted = await client.post("/programmes", json={**PROGRAMME, "rules": [SHARED], "budget": BUDGET})
    assert posted.status_code == 201, posted.text
    assert (posted.json()["not_yet_evaluated"], posted.json()["budget"]) == ([], BUDGET)


async def test_a_programme_without_shared_caps_asks_for_no_pool(shop: Shop) -> None:
    await shop.post(rules=[{**SHARED, "cap": {"points": 500, "per": "month"}}])
    await shop.take(*(bought(f"c-{n}", f"o-{n}") for n in range(3)))
    await shop.take(record("purchase-returned", returned("o-1", customer_id="c-1")))
    async with shop.db.transaction() as tx:
        assert await fetch(tx, "SELECT 1 FROM pools UNION ALL SELECT 1 FROM pool_grants") == []


async def test_what_a_persons_orders_have_of_pools_is_among_what_he_is_given_of_himself(shop: Shop) -> None:
    await shop.post(rules=[SHARED], budget=BUDGET)
    await shop.take(bought("c-1", "o-1"), bought("c-2", "o-2"))
    async with shop.db.transaction() as tx:
        rows: list[Any] = [dict(row) for row in await fetch(tx, SECTIONS["pool_grants"].sql, ids=["c-1"])]
    assert [(row["customer_id"], row["order_id"], row["rule"], row["used"]) for row in rows] == [
        ("c-1", "o-1", "/budget", 80), ("c-1", "o-1", "tea", 30),
    ]  # fmt: skip
