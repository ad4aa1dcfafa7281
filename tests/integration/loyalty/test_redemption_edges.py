"""The edges of using points: the erased, the last instant, the other one's key, more than can be told."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.loyalty.ledger.spending import MOST_LOTS
from services.loyalty.redemptions.domain import QUOTED_FOR
from services.loyalty.redemptions.keeping import HoldKeeper
from shared.db import fetch
from shared.messaging.envelope import MAX_BYTES
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import merged as joined
from tests.integration.loyalty.test_merges import parted
from tests.integration.loyalty.test_redemptions import (
    DAY,
    C,
    back,
    books,
    bought,
    erased,
    held,
    made,
    post,
    staff,
    tables,
    whole,
)
from tests.kit.builders import NOW, at, record, returned

__all__ = ["staff"]
SERVICE = "loyalty"


def merged(from_id: str, into_id: str, *, id: str, merge: str, version: int = 1) -> Record:
    topic = "customer-merged" if version % 2 else "customer-unmerged"
    data = {
        "customer_id": into_id, "sequence": version, "caused_by": {"source": "/roost/profile/requests", "id": "r"},
        "occurred_at": at(0), "merge_id": merge, "version": version, "from_id": from_id, "into_id": into_id,
    }  # fmt: skip
    return record(topic, data, id=id)


async def test_what_was_said_of_an_erased_customer_s_rollback_is_gone(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    redeemed = await made(staff, "/redemptions", {"customer_id": C, "points": 10})
    await made(staff, f"/redemptions/{redeemed['id']}/rollback", {"reason": "Mrs Wang was unhappy"})
    await shop.take(erased(C))
    assert not [rows for rows in (await tables(shop)).values() if "Wang" in str(rows)]
    await whole(shop)


async def test_the_ledger_names_no_erased_customer_by_what_made_it_move(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought("c-2", "o-2", "500"))
    joined = merged(C, "c-2", id=f"{C}:7", merge="m-1")
    await shop.take(joined)
    await made(staff, "/redemptions", {"customer_id": "c-2", "points": 120})
    await shop.take(merged(C, "c-2", id=f"{C}:8", merge="m-1", version=2))
    assert await books(shop, "c-2") == {"debt": 70}
    await shop.take(erased(C))
    async with shop.db.transaction() as tx:
        causes = {row["cause_id"] for row in await fetch(tx, "SELECT DISTINCT cause_id FROM ledger")}
    assert "m-1" in causes
    assert not [cause for cause in causes if C in cause]
    await whole(shop)


async def test_nobody_uses_the_points_of_an_erased_customer_under_any_name(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    quote = await made(staff, "/quotes", {"customer_id": C, "points": 10})
    hold, redeemed = await held(staff, 20), await made(staff, "/redemptions", {"customer_id": C, "points": 5})
    await shop.take(erased(C))
    async with shop.db.transaction() as tx:
        name = (await fetch(tx, "SELECT customer_id FROM accounts"))[0]["customer_id"]
    asked: list[tuple[str, Any]] = [
        ("/holds", {"quote_id": quote["id"]}),
        (f"/holds/{hold['id']}/commit", {}),
        (f"/holds/{hold['id']}/void", {}),
        (f"/redemptions/{redeemed['id']}/rollback", {"reason": "Mrs Wang was unhappy"}),
        ("/redemptions", {"customer_id": name, "points": 1}),
        ("/quotes", {"customer_id": name, "points": 1}),
        (f"/accounts/{name}/adjustments", {"points": 5, "reason": "for Mrs Wang"}),
        (f"/accounts/{name}/adjustments", {"points": -5, "reason": "for Mrs Wang"}),
        ("/transfers", {"from_customer_id": name, "to_customer_id": name, "points": 1}),
    ]
    before = await tables(shop)
    assert [(await post(staff, path, body)).status_code for path, body in asked] == [404] * len(asked)
    assert await tables(shop) == before
    # What was held runs out as any other hold.
    await shop.live_until(NOW + DAY)
    await whole(shop)


async def test_a_hold_that_is_committed_as_it_runs_out_keeps_its_reward(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    body = {"name": "Tin", "kind": "product", "points": 10, "stock": 1}
    reward = await made(staff, "/rewards", body)
    quote = await made(staff, "/quotes", {"customer_id": C, "reward_id": reward["id"]})
    hold = await made(staff, "/holds", {"quote_id": quote["id"], "ttl": 60})
    await made(staff, f"/holds/{hold['id']}/commit")
    shop.clock.set(shop.clock.now() + DAY)
    # The keeper had found it due, and waited for the account.
    keeper = HoldKeeper(shop.db, shop.clock, lambda: None)
    await keeper.end(hold["id"])
    assert (await staff.get(f"/rewards/{reward['id']}")).json()["stock_left"] == 0


async def test_a_hold_that_ran_out_keeps_no_stock_from_being_changed(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    reward = await made(staff, "/rewards", {"name": "Tin", "kind": "product", "points": 10, "stock": 1})
    quote = await made(staff, "/quotes", {"customer_id": C, "reward_id": reward["id"]})
    await made(staff, "/holds", {"quote_id": quote["id"], "ttl": 60})
    shop.clock.set(shop.clock.now() + DAY)
    await made(staff, "/redemptions", {"customer_id": C, "points": 1})
    changed = await staff.patch(f"/rewards/{reward['id']}", json={"stock": 0}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.json()["stock_left"]) == (200, 0)


async def test_another_customer_s_key_and_quote_tell_nothing_of_him(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought("c-2", "o-2", "1000"))
    scope = "loyalty:read loyalty:write"
    async with shop.client(scope, C) as one, shop.client(scope, "c-2") as other:
        asked = {"customer_id": C, "points": 90}
        quote = await made(one, "/quotes", asked)
        assert (await post(one, "/redemptions", asked, key="k-1")).status_code == 201
        assert (await post(other, "/redemptions", asked, key="k-1")).status_code == 422
        assert (await post(other, "/redemptions", asked)).status_code == 404
        refused = await post(other, "/holds", {"quote_id": quote["id"]})
        assert (refused.status_code, "shortfall" in refused.json()) == (404, False)


async def test_what_is_of_too_many_purchases_to_be_told_is_refused_with_what_can_be_used(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    count = MOST_LOTS + 1
    for start in range(0, count, 500):
        orders = [f"{n:04}".rjust(128, "o") for n in range(start, min(start + 500, count))]
        await shop.take(*(bought(C, order, "10") for order in orders))
    refused = (await post(staff, "/redemptions", {"customer_id": C, "points": count})).json()
    assert (refused["code"], refused["points"]) == ("too-many-lots", MOST_LOTS)
    await made(staff, "/redemptions", {"customer_id": C, "points": MOST_LOTS})
    async with shop.db.transaction() as tx:
        told = await fetch(tx, "SELECT max(octet_length(value)) AS bytes FROM outbox WHERE topic = 'points-spent'")
    assert told[0]["bytes"] < MAX_BYTES
    await whole(shop)


async def test_a_voided_hold_and_one_that_ran_out_give_the_reward_back(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    body = {"name": "Tin", "kind": "product", "points": 10, "stock": 2}
    reward = await made(staff, "/rewards", {**body, "per_customer": {"count": 2, "per": "lifetime"}})
    asked = {"customer_id": C, "reward_id": reward["id"]}
    quotes = [await made(staff, "/quotes", asked) for _ in range(2)]
    voided, _ = [await made(staff, "/holds", {"quote_id": quote["id"], "ttl": 60}) for quote in quotes]
    assert (await post(staff, "/redemptions", asked)).status_code == 409
    await made(staff, f"/holds/{voided['id']}/void")
    await made(staff, "/redemptions", asked)
    await shop.live_until(shop.clock.now() + timedelta(seconds=60))
    async with shop.db.transaction() as tx:
        states = [row["state"] for row in await fetch(tx, "SELECT state FROM reward_uses ORDER BY at, state")]
    assert sorted(states) == ["released", "released", "settled"]
    await made(staff, "/redemptions", asked)


async def test_a_quote_is_valid_up_to_its_instant(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    first, second = [await made(staff, "/quotes", {"customer_id": C, "points": 1}) for _ in range(2)]
    shop.clock.set(shop.clock.now() + QUOTED_FOR - timedelta(microseconds=1))
    await made(staff, "/holds", {"quote_id": first["id"]})
    shop.clock.set(shop.clock.now() + timedelta(microseconds=1))
    assert (await post(staff, "/holds", {"quote_id": second["id"]})).json()["code"] == "quote-expired"


async def test_what_is_released_of_one_id_pays_what_another_of_the_person_owes(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought("c-2", "o-2", "300", 10))
    await shop.take(merged("c-2", C, id="m:1", merge="m-1"))
    await made(staff, "/redemptions", {"customer_id": C, "points": 100})
    await shop.take(back("o-1", "400"))
    assert await books(shop) == {"debt": 40, "pending": 30}
    await shop.live_until(NOW + 5 * DAY)
    assert await books(shop) == {"debt": 10}
    await whole(shop)


@pytest.mark.parametrize("then", ["committed", "lapsed"])
async def test_what_is_held_through_a_merge_its_undo_and_another_is_held_once(
    shop: Shop, staff: httpx.AsyncClient, then: str
) -> None:
    await shop.take(bought("c-1", "o-1", "600", days_ago=60), bought("c-2", "o-2", "1000"), joined("c-1", "c-2"))
    quote = await made(staff, "/quotes", {"customer_id": "c-2", "points": 60})
    hold = await made(staff, "/holds", {"quote_id": quote["id"], "ttl": 600})
    await shop.take(parted("c-1", "c-2"))
    await whole(shop)
    await shop.take(joined("c-1", "c-2", version=3))
    assert await books(shop, "c-2") == {"available": 100, "held": 60}
    await whole(shop)
    if then == "committed":
        await made(staff, f"/holds/{hold['id']}/commit")
        assert await books(shop, "c-2") == {"available": 100}
    else:
        shop.clock.set(shop.clock.now() + timedelta(minutes=20))
        await made(staff, "/redemptions", {"customer_id": "c-2", "points": 1})
        assert await books(shop, "c-2") == {"available": 159}
    await whole(shop)


async def test_what_a_hold_gives_back_as_it_runs_out_pays_what_is_owed_before_anybody_uses_it(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.take(bought(C, "o-1", "1000", days_ago=60), bought(C, "o-2", "600"))
    await made(staff, "/redemptions", {"customer_id": C, "points": 100})
    await held(staff, 60)
    await shop.take(record("purchase-returned", returned("o-1", customer_id=C)))
    assert await books(shop) == {"held": 60, "debt": 100}
    shop.clock.set(shop.clock.now() + timedelta(minutes=20))
    assert await books(shop) == {"debt": 40}
    answer = await post(staff, "/redemptions", {"customer_id": C, "points": 1})
    assert (answer.status_code, answer.json().get("shortfall")) == (409, 1)
    await shop.take(bought(C, "o-3", "500"))
    await made(staff, "/redemptions", {"customer_id": C, "points": 10})
    assert await books(shop) == {}
    await whole(shop)


@pytest.mark.parametrize("older", ["c-1", "c-2"])
@pytest.mark.parametrize("asked", ["commit", "void"])
async def test_what_is_held_is_whose_it_was_then_whoever_asked_for_the_quote(
    shop: Shop, staff: httpx.AsyncClient, asked: str, older: str
) -> None:
    other = {"c-1": "c-2", "c-2": "c-1"}[older]
    await shop.take(bought(older, "o-1", "600", days_ago=60), bought(other, "o-2", "1000"))
    quote = await made(staff, "/quotes", {"customer_id": "c-1", "points": 60})
    await shop.take(joined("c-1", "c-2"))
    hold = await made(staff, "/holds", {"quote_id": quote["id"], "ttl": 600})
    await shop.take(parted("c-1", "c-2"))
    async with shop.client("loyalty:read loyalty:write", "c-1") as one:
        assert (await post(one, f"/holds/{hold['id']}/{asked}")).status_code == 404
    assert (await made(staff, f"/holds/{hold['id']}/{asked}"))["customer_id"] == "c-2"
    await whole(shop)


async def test_a_replay_is_shown_to_whom_it_is_now(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought("c-1", "o-1", "600"), bought("c-2", "o-2", "1000"), joined("c-1", "c-2"))
    body = {"customer_id": "c-2", "points": 60}
    async with shop.client("loyalty:read loyalty:write", "c-1") as one:
        assert (await post(one, "/redemptions", body, key="k")).status_code == 201
        assert (await post(one, "/redemptions", body, key="k")).headers["Idempotency-Replayed"] == "true"
        await shop.take(parted("c-1", "c-2"))
        assert (await post(one, "/redemptions", body, key="k")).status_code == 404
