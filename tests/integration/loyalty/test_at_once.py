"""Many at once: what is counted has no gaps, and what is limited is never exceeded."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import merged
from tests.integration.loyalty.test_redemptions import bought, made, post, whole
from tests.integration.loyalty.test_redemptions import staff as staff
from tests.kit.builders import line, purchase, record, returned

SERVICE = "loyalty"
CUSTOMERS = [f"c-{n}" for n in range(4)]


async def sequences(shop: Shop) -> dict[str, list[int]]:
    """Of each customer the numbers of what was said of him, in the order in which it is published."""
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT value FROM outbox ORDER BY id")
    found: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        data = msgspec.json.decode(row["value"])["data"]
        found[data["customer_id"]].append(data["sequence"])
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_done_and_refused_at_once_each_customer_s_events_are_numbered_without_a_gap(
    shop: Shop, staff: httpx.AsyncClient, seed: int
) -> None:
    rng = random.Random(seed)
    await shop.take(*(bought(one, f"start-{one}", "1000") for one in CUSTOMERS))
    reward = await made(staff, "/rewards", {
        "name": "Tenner", "kind": "coupon", "points": 20, "stock": 6, "coupon": {"percent": "10", "valid_days": 30},
    })  # fmt: skip
    redeemed = [await made(staff, "/redemptions", {"customer_id": one, "points": 10}) for one in CUSTOMERS]

    def something(n: int) -> Awaitable[Any]:
        who, other = rng.sample(CUSTOMERS, 2)
        return rng.choice((
            lambda: post(staff, "/redemptions", {"customer_id": who, "points": rng.choice((5, 30, 500))}),
            lambda: post(staff, "/redemptions", {"customer_id": who, "reward_id": reward["id"]}),
            lambda: post(staff, "/transfers", {"from_customer_id": who, "to_customer_id": other, "points": 15}),
            lambda: post(staff, f"/accounts/{who}/adjustments", {"points": rng.choice((-40, 40)), "reason": "?"}),
            lambda: post(staff, f"/redemptions/{rng.choice(redeemed)['id']}/rollback", {"reason": "?"}),
            lambda: shop.take(bought(who, f"o-{n}", "100"), bought(other, f"p-{n}", "100")),
            lambda: shop.take(back(f"start-{who}", who)),
        ))()  # fmt: skip

    answers = await asyncio.gather(*(something(n) for n in range(80)))
    statuses = Counter(answer.status_code for answer in answers if isinstance(answer, httpx.Response))
    assert statuses.keys() <= {200, 201, 409}
    assert min(statuses[201], statuses[409]) > 0, statuses
    for customer, numbers in (await sequences(shop)).items():
        assert numbers == list(range(1, len(numbers) + 1)), customer
    await whole(shop)


def back(order: str, customer: str) -> Record:
    return record("purchase-returned", returned(order, customer_id=customer))


async def test_of_thirty_who_take_or_hold_the_last_seven_at_once_seven_have_one_and_a_code_and_paid(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    people = [f"p-{n}" for n in range(30)]
    await shop.take(*(bought(one, f"o-{one}", "1000") for one in people))
    body = {"name": "Tenner", "kind": "coupon", "points": 40, "coupon": {"percent": "10", "valid_days": 30}}
    reward = await made(staff, "/rewards", {**body, "stock": 7})
    quotes = {one: await made(staff, "/quotes", {"customer_id": one, "reward_id": reward["id"]}) for one in people[::2]}

    async def take(one: str) -> httpx.Response:
        if one not in quotes:
            return await post(staff, "/redemptions", {"customer_id": one, "reward_id": reward["id"]})
        hold = await post(staff, "/holds", {"quote_id": quotes[one]["id"]})
        return await post(staff, f"/holds/{hold.json()['id']}/commit") if hold.status_code == 201 else hold

    answers = dict(zip(people, await asyncio.gather(*map(take, people)), strict=True))
    assert Counter(answer.status_code for answer in answers.values()) == {201: 7, 409: 23}
    assert {answer.json()["code"] for answer in answers.values() if answer.status_code == 409} == {"out-of-stock"}
    assert len({answer.json()["coupon_code"] for answer in answers.values() if answer.status_code == 201}) == 7
    for one, answer in answers.items():
        account = (await staff.get(f"/accounts/{one}")).json()
        assert (account["available"], account["held"]) == (60 if answer.status_code == 201 else 100, 0)
    assert (await staff.get(f"/rewards/{reward['id']}")).json()["stock_left"] == 0
    await whole(shop)


async def test_a_person_s_limit_holds_however_many_of_his_ids_ask_at_once(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought("c-1", "o-1", "2000"), bought("c-2", "o-2", "2000"), bought("c-3", "o-3", "2000"))
    await shop.take(merged("c-1", "c-2"))
    body = {"name": "Tin", "kind": "gift", "points": 10, "per_customer": {"count": 3, "per": "month"}}
    reward = await made(staff, "/rewards", body)
    asked = [{"customer_id": f"c-{1 + n % 3}", "reward_id": reward["id"]} for n in range(36)]
    answers = await asyncio.gather(*(post(staff, "/redemptions", one) for one in asked))
    had = Counter(
        "c-3" if one["customer_id"] == "c-3" else "c-1 and c-2"
        for one, answer in zip(asked, answers, strict=True)
        if answer.status_code == 201
    )
    assert had == {"c-1 and c-2": 3, "c-3": 3}
    assert {answer.json()["code"] for answer in answers if answer.status_code != 201} == {"limit-reached"}
    await whole(shop)


@pytest.mark.parametrize("seed", range(3))
async def test_a_customer_s_cap_holds_however_his_orders_come_at_once(shop: Shop, seed: int) -> None:
    rng = random.Random(seed)
    cap = {"points": 70, "per": "month"}
    rule = {"id": "tea", "order": 1, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"multiply": "3"}}
    await shop.post(rules=[{**rule, "cap": cap}])
    orders = []
    for n in range(30):
        lines = [line(amount="100", category="tea")]
        orders.append(record("purchase-recorded", purchase(
            f"c-{n % 3}", f"o-{n}", total="100", days_ago=rng.uniform(0, 19), lines=lines,
        )))  # fmt: skip
    rng.shuffle(orders)
    await asyncio.gather(*(shop.take(*orders[n : n + 3]) for n in range(0, len(orders), 3)))
    async with shop.client() as reader:
        for n in range(3):
            tree = (await reader.get(f"/accounts/c-{n}/explanation")).json()
            given = sum(
                leaf["points"] for order in tree["orders"] for leaf in order["leaves"] if leaf["rule"] == "tea"
            )
            assert given == 70, "ten orders ask for two hundred"
    await whole(shop)


async def test_debts_are_paid_and_points_used_once_by_returns_and_redemptions_at_once(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.take(*(bought("c-1", f"o-{n}", "100", 20 + n) for n in range(20)))
    shop.clock.set(shop.clock.now() + timedelta(hours=1))
    works: list[Awaitable[Any]] = [shop.take(back(f"o-{n}", "c-1")) for n in range(10)]
    works += [post(staff, "/redemptions", {"customer_id": "c-1", "points": 15}) for _ in range(12)]
    answers = [answer for answer in await asyncio.gather(*works) if isinstance(answer, httpx.Response)]
    used = 15 * sum(answer.status_code == 201 for answer in answers)
    account = (await staff.get("/accounts/c-1")).json()
    assert account["available"] - account["debt"] == 100 - used
    assert min(account["available"], account["debt"]) == 0
    await whole(shop)
