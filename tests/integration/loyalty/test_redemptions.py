"""Points are used once: quoted, held, committed, given back."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop
from tests.kit.builders import NOW, at, purchase, record, returned

SERVICE = "loyalty"
DAY = timedelta(days=1)
C = "c-1"


def bought(customer: str, order: str, total: str, days_ago: float = 30) -> Record:
    return record("purchase-recorded", purchase(customer, order, total=total, days_ago=days_ago), id=order)


def back(order: str, amount: str, days_ago: float = 0) -> Record:
    fields = {"lines": None, "amount": {"amount": amount, "currency": "TWD"}}
    data = {key: value for key, value in returned(order, customer_id=C, days_ago=days_ago, **fields).items() if value}
    return record("purchase-returned", data)


@pytest.fixture
async def staff(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with shop.client("loyalty:read loyalty:write") as client:
        yield client


async def post(client: httpx.AsyncClient, path: str, body: Any = None, *, key: str | None = None) -> httpx.Response:
    return await client.post(path, json=body or {}, headers={"Idempotency-Key": key or uuid4().hex})


async def made(client: httpx.AsyncClient, path: str, body: Any = None) -> Any:
    answer = await post(client, path, body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


async def held(client: httpx.AsyncClient, points: int, ttl: int = 600) -> Any:
    quote = await made(client, "/quotes", {"customer_id": C, "points": points})
    return await made(client, "/holds", {"quote_id": quote["id"], "ttl": ttl})


async def books(shop: Shop, customer: str = C) -> dict[str, int]:
    async with shop.client() as client:
        body = (await client.get(f"/accounts/{customer}")).json()
    return {name: body[name] for name in ("available", "pending", "held", "debt") if body[name]}


async def whole(shop: Shop) -> None:
    proof = await shop.verified()
    assert proof.broken is None, proof.broken


async def lots(shop: Shop, customer: str = C) -> list[Any]:
    async with shop.client() as client:
        items: list[Any] = (await client.get(f"/accounts/{customer}/lots")).json()["items"]
    return items


def erased(customer: str) -> Record:
    data = {
        "customer_id": customer, "sequence": 9, "caused_by": {"source": "/roost/profile/requests", "id": "r"},
        "occurred_at": at(0), "erasure_id": f"e-{customer}", "customer_ids": [customer],
    }  # fmt: skip
    return record("customer-erased", data)


async def tables(shop: Shop) -> dict[str, Any]:
    """Every row of every table."""
    async with shop.db.transaction() as tx:
        names = await fetch(tx, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {name: await fetch(tx, f"SELECT t::text FROM {name} AS t ORDER BY 1") for (name,) in names}


async def test_what_is_held_can_be_used_by_nobody_else_and_is_used_once(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    hold = await held(staff, 60)
    assert await books(shop) == {"available": 40, "held": 60}
    redeemed = await made(staff, f"/holds/{hold['id']}/commit")
    assert redeemed["points"] == 60
    assert await books(shop) == {"available": 40}
    again = await post(staff, f"/holds/{hold['id']}/commit")
    assert (again.status_code, again.json()["code"]) == (409, "hold-committed")
    spent = await shop.published("points-spent")
    assert [(one["points"], one["lots"]) for one in spent] == [(60, [{"origin": "order", "id": "o-1", "points": 60}])]
    await whole(shop)


async def test_two_quotes_for_one_balance_come_to_one_commit(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    quotes = [await made(staff, "/quotes", {"customer_id": C, "points": 100}) for _ in range(2)]
    answers = await asyncio.gather(*(post(staff, "/holds", {"quote_id": quote["id"]}) for quote in quotes))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    refused = next(answer.json() for answer in answers if answer.status_code == 409)
    assert (refused["code"], refused["shortfall"]) == ("insufficient-points", 100)
    hold = next(answer.json() for answer in answers if answer.status_code == 201)
    await made(staff, f"/holds/{hold['id']}/commit")
    assert await books(shop) == {}
    await whole(shop)


async def test_of_fifty_who_redeem_the_whole_balance_at_once_one_does(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "600"), bought(C, "o-2", "400"))
    asked = {"customer_id": C, "points": 100}
    answers = await asyncio.gather(*(post(staff, "/redemptions", asked) for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 49}
    assert await books(shop) == {}
    await whole(shop)


async def test_commits_in_parts_never_come_to_more_than_was_held(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    hold = await held(staff, 70)
    path = f"/holds/{hold['id']}/commit"
    answers = await asyncio.gather(*(post(staff, path, {"points": 20}) for _ in range(10)))
    done = [answer.json()["points"] for answer in answers if answer.status_code == 201]
    assert done == [20, 20, 20]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"hold-exceeded"}
    assert (await made(staff, path))["points"] == 10
    assert await books(shop) == {"available": 30}
    await whole(shop)


async def test_nothing_is_committed_after_a_void_or_once_the_hold_has_run_out(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    voided, lapsed = await held(staff, 50), await held(staff, 50, ttl=60)
    assert await books(shop) == {"held": 100}
    assert (await made(staff, f"/holds/{voided['id']}/void"))["state"] == "voided"
    shop.clock.set(shop.clock.now() + timedelta(seconds=60))
    # Nothing was swept: it is so at the instant.
    assert await books(shop) == {"available": 100}
    for hold, code in ((voided, "hold-voided"), (lapsed, "hold-expired")):
        answer = await post(staff, f"/holds/{hold['id']}/commit")
        assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert (await staff.get(f"/holds/{lapsed['id']}")).json()["state"] == "expired"
    await shop.job("holds").run()
    assert await shop.job("holds").next_due() is None
    assert await books(shop) == {"available": 100}
    await whole(shop)


async def test_points_that_expire_first_go_first_and_expired_ones_never_swept_or_not(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.take(bought(C, "o-new", "1000", 20), bought(C, "o-old", "1000", 300), bought(C, "o-gone", "1000", 364.9))
    shop.clock.set(NOW + DAY)
    refused = await post(staff, "/redemptions", {"customer_id": C, "points": 201})
    assert refused.json()["shortfall"] == 1
    await made(staff, "/redemptions", {"customer_id": C, "points": 150})
    assert {lot["order_id"]: lot["spent"] for lot in await lots(shop)} == {"o-new": 50, "o-old": 100, "o-gone": 0}
    await whole(shop)


async def test_a_rollback_puts_the_identical_lots_back(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000", 20), bought(C, "o-2", "1000", 300))
    before = await lots(shop)
    redeemed = await made(staff, "/redemptions", {"customer_id": C, "points": 150})
    assert await lots(shop) != before
    shop.clock.set(NOW + DAY)
    undone = await made(staff, f"/redemptions/{redeemed['id']}/rollback", {"reason": "wrong item"})
    assert undone["rolled_back_because"] == "wrong item"
    assert await lots(shop) == before
    again = await post(staff, f"/redemptions/{redeemed['id']}/rollback", {"reason": "again"})
    assert again.json()["code"] == "rolled-back"
    spent = await shop.published("points-spent")
    assert [one.get("rolled_back", False) for one in spent] == [False, True]
    await whole(shop)


async def test_what_is_given_back_to_a_lot_that_has_expired_expires(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000", 300))
    redeemed = await made(staff, "/redemptions", {"customer_id": C, "points": 100})
    await shop.live_until(NOW + 100 * DAY)
    await made(staff, f"/redemptions/{redeemed['id']}/rollback", {"reason": "late"})
    assert await books(shop) == {}
    assert [one["points"] for one in await shop.published("points-expired")] == [100]
    await whole(shop)


async def test_a_return_after_spending_is_owed_and_the_next_points_pay_it(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    await made(staff, "/redemptions", {"customer_id": C, "points": 80})
    await shop.take(back("o-1", "500"))
    assert await books(shop) == {"debt": 30}
    await shop.take(bought(C, "o-2", "200", 1))
    assert await books(shop) == {"debt": 30, "pending": 20}
    # True at the instant it is released, swept or not.
    shop.clock.set(NOW + 13 * DAY)
    assert await books(shop) == {"debt": 10}
    await shop.job("sweep").run()
    assert await books(shop) == {"debt": 10}
    await shop.take(bought(C, "o-3", "300", 20))
    assert await books(shop) == {"available": 20}
    await whole(shop)


async def test_a_debt_that_was_paid_and_is_none_any_more_gives_the_points_back(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought(C, "o-2", "500", 20))
    redeemed = await made(staff, "/redemptions", {"customer_id": C, "points": 100})
    await shop.take(back("o-1", "1000"))
    assert await books(shop) == {"debt": 50}
    await made(staff, f"/redemptions/{redeemed['id']}/rollback", {"reason": "all came back"})
    assert await books(shop) == {"available": 50}
    await whole(shop)


async def test_what_is_sent_again_with_its_key_has_one_effect_and_with_another_body_none(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    asked = {"customer_id": C, "points": 10}
    answers = [await post(staff, "/redemptions", asked, key="k-1") for _ in range(5)]
    assert len({answer.text for answer in answers}) == 1
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, *["true"] * 4]
    assert await books(shop) == {"available": 90}
    other = await post(staff, "/redemptions", {**asked, "points": 11}, key="k-1")
    assert other.status_code == 422
    assert (await staff.post("/redemptions", json=asked)).status_code == 400


async def test_what_is_refused_leaves_every_table_as_it_was(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    reward = await made(staff, "/rewards", {"name": "Tin", "kind": "product", "points": 10, "stock": 0})
    quote = await made(staff, "/quotes", {"customer_id": C, "points": 100})
    await made(staff, "/redemptions", {"customer_id": C, "points": 50})
    before = await tables(shop)
    asked: list[tuple[str, Any]] = [
        ("/redemptions", {"customer_id": C, "points": 51}),
        ("/redemptions", {"customer_id": C, "reward_id": reward["id"]}),
        ("/quotes", {"customer_id": C, "points": 51}),
        ("/quotes", {"customer_id": C, "reward_id": reward["id"]}),
        ("/holds", {"quote_id": quote["id"]}),
        ("/redemptions", {"customer_id": "c-nobody", "points": 1}),
        ("/redemptions", {"customer_id": C, "points": 0}),
    ]
    for path, body in asked:
        assert (await post(staff, path, body)).status_code in (404, 409, 422), (path, body)
    assert await tables(shop) == before


async def test_points_stock_and_code_go_together(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    body = {
        "name": "Tenner", "kind": "coupon", "points": 40, "stock": 1, "coupon": {"percent": "10", "valid_days": 30},
    }  # fmt: skip
    reward = await made(staff, "/rewards", body)
    redeemed = await made(staff, "/redemptions", {"customer_id": C, "reward_id": reward["id"]})
    coupon = (await staff.get(f"/coupons/{redeemed['coupon_code']}")).json()
    assert coupon["state"] == "issued"
    refused = await post(staff, "/redemptions", {"customer_id": C, "reward_id": reward["id"]})
    assert refused.json()["code"] == "out-of-stock"
    await made(staff, f"/redemptions/{redeemed['id']}/rollback", {"reason": "not wanted"})
    assert (await staff.get(f"/coupons/{redeemed['coupon_code']}")).json()["state"] == "voided"
    assert await books(shop) == {"available": 100}
    hold = await made(staff, "/holds", {"quote_id": (
        await made(staff, "/quotes", {"customer_id": C, "reward_id": reward["id"]}))["id"]})  # fmt: skip
    await staff.patch(f"/rewards/{reward['id']}", json={"points": 90}, headers={"If-Match": '"1"'})
    assert (await made(staff, f"/holds/{hold['id']}/commit"))["points"] == 40
    assert await books(shop) == {"available": 60}
    await whole(shop)


async def test_what_is_promised_and_not_handed_over_in_time_is_told_once(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    body = {"name": "Tin", "kind": "product", "points": 10, "fulfilment": {"due_days": 3}}
    reward = await made(staff, "/rewards", {**body, "price": {"amount": "50.00", "currency": "TWD"}})
    late, done = [await made(staff, "/redemptions", {"customer_id": C, "reward_id": reward["id"]}) for _ in range(2)]
    assert late["fulfilment"]["state"] == "open"
    assert (await staff.get(f"/redemptions/{late['id']}")).json()["price"] == {"amount": "50.00", "currency": "TWD"}
    await made(staff, f"/redemptions/{done['id']}/fulfilment", {"state": "sent"})
    await made(staff, f"/redemptions/{done['id']}/fulfilment", {"state": "done"})
    refused = await post(staff, f"/redemptions/{done['id']}/rollback", {"reason": "?"})
    assert refused.json()["code"] == "handed-over"
    await shop.live_until(NOW + 10 * DAY)
    assert [one["redemption_id"] for one in await shop.published("reward-overdue")] == [late["id"]]
    listed = (await staff.get(f"/accounts/{C}/redemptions")).json()["items"]
    assert {one["id"]: one["fulfilment"]["overdue"] for one in listed} == {late["id"]: True, done["id"]: False}


async def test_a_customer_s_token_uses_his_own_points_and_nobody_else_s(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought("c-2", "o-2", "1000"))
    hold = await held(staff, 10)
    before = await tables(shop)
    async with shop.client("loyalty:read loyalty:write", "c-2") as other:
        answers = [
            await post(other, "/redemptions", {"customer_id": C, "points": 1}),
            await post(other, "/quotes", {"customer_id": C, "points": 1}),
            await post(other, f"/holds/{hold['id']}/commit"),
            await post(other, f"/holds/{hold['id']}/void"),
            await other.get(f"/holds/{hold['id']}"),
            await other.get(f"/accounts/{C}/redemptions"),
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert await tables(shop) == before
        assert (await post(other, "/redemptions", {"customer_id": "c-2", "points": 1})).status_code == 201
    async with shop.client("loyalty:read") as reader:
        assert (await post(reader, "/redemptions", {"customer_id": C, "points": 1})).status_code == 403
