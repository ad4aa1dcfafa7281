"""Two ids of one person: while they are joined one account, parted what they would always have been."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop
from tests.kit.builders import NOW, at, purchase, record, returned

SERVICE = "loyalty"
OLD, NEW = "c-old", "c-new"


def bought(customer: str, order: str, total: str = "100", days_ago: float = 1, **fields: Any) -> Record:
    return record("purchase-recorded", purchase(customer, order, total=total, days_ago=days_ago, **fields))


def merged(from_id: str = OLD, into_id: str = NEW, *, version: int = 1, id: str | None = None) -> Record:
    return _fact("customer-merged", from_id, into_id, version, id)


def parted(from_id: str = OLD, into_id: str = NEW, *, version: int = 2, id: str | None = None) -> Record:
    return _fact("customer-unmerged", from_id, into_id, version, id)


def _fact(topic: str, from_id: str, into_id: str, version: int, id: str | None) -> Record:
    data = {
        "customer_id": into_id, "sequence": 1, "caused_by": {"source": "/roost/profile/http", "id": "m"},
        "occurred_at": at(0.5 - version / 100), "merge_id": f"{from_id}>{into_id}", "version": version,
        "from_id": from_id, "into_id": into_id,
    }  # fmt: skip
    return record(topic, data, id=id)


async def account(shop: Shop, customer: str) -> dict[str, Any]:
    async with shop.client() as client:
        response = await client.get(f"/accounts/{customer}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def told(shop: Shop) -> list[tuple[str, str | None, str | None]]:
    return [(c["customer_id"], c.get("from_tier"), c.get("to_tier")) for c in await shop.published("tier-changed")]


async def pointers(shop: Shop) -> dict[str, str | None]:
    """Which account points to which."""
    query = """
        SELECT a.customer_id, s.customer_id AS survivor_id
        FROM accounts a LEFT JOIN accounts s ON s.account_id = a.survivor_account_id
    """
    async with shop.db.transaction() as tx:
        return {row["customer_id"]: row["survivor_id"] for row in await fetch(tx, query)}


async def test_while_joined_one_account_has_what_both_earned_and_nothing_is_posted(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-1", "1000", days_ago=30), bought(NEW, "o-2", "500"))
    before = await shop.verified()
    await shop.take(merged())
    joined = await account(shop, NEW)
    assert (joined["available"], joined["pending"], joined["lifetime_earned"]) == (100, 50, 150)
    assert (joined["expiring"]["points"], joined["merged_into"]) == (100, None)
    assert await account(shop, OLD) == {**joined, "customer_id": OLD, "merged_into": NEW}
    after = await shop.verified()
    assert (after.entries, after.books, after.broken) == (before.entries, before.books, None)


async def test_parted_each_has_his_own_again_with_what_came_late(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-1", "1000"), bought(NEW, "o-2", "500"), merged())
    await shop.take(bought(OLD, "o-3", "300"), record("purchase-returned", returned("o-2", customer_id=NEW)))
    assert (await shop.balance(NEW)).pending == 130
    await shop.take(parted())
    assert ((await shop.balance(OLD)).pending, (await shop.balance(NEW)).pending) == (130, 0)
    assert await pointers(shop) == {OLD: None, NEW: None}
    assert (await account(shop, OLD))["merged_into"] is None
    assert (await shop.verified()).broken is None


async def test_points_are_judged_in_the_history_of_the_id_they_were_earned_under(shop: Shop) -> None:
    welcome = {"id": "first-order", "order": 20, "on": "first-purchase", "effect": {"bonus": 100}}
    await shop.post(active_from=at(300), rules=[welcome])
    await shop.take(bought(NEW, "o-1", days_ago=9), merged(), bought(OLD, "o-2", days_ago=5))
    assert (await shop.balance(NEW)).pending == 220
    await shop.take(bought(OLD, "o-3", days_ago=7))
    assert (await shop.balance(NEW)).pending == 230
    earned = await shop.published("points-earned", "points-reversed")
    assert [(e["customer_id"], e["order_id"]) for e in earned] == [
        (NEW, "o-1"), (OLD, "o-2"), (OLD, "o-3"), (OLD, "o-2")
    ]  # fmt: skip


async def test_the_tier_of_the_survivor_is_by_joint_spend_and_falls_with_the_undo(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-1", "3000", days_ago=20), bought(NEW, "o-2", "2500", days_ago=10))
    await shop.take(merged())
    assert await shop.tier(NEW) == await shop.tier(OLD) == "silver"
    await shop.take(parted())
    assert await shop.tier(NEW) is await shop.tier(OLD) is None
    assert await told(shop) == [(NEW, None, "silver"), (NEW, "silver", None)]
    changes = await shop.published("tier-changed")
    assert [datetime.fromisoformat(change["occurred_at"]) for change in changes] == [
        NOW - timedelta(days=days) for days in (0.49, 0.48)
    ]


async def test_a_late_purchase_of_the_old_id_lifts_the_survivor_alone(shop: Shop) -> None:
    await shop.take(bought(NEW, "o-1", "3000", days_ago=20), merged())
    await shop.take(bought(OLD, "o-2", "2000", days_ago=2))
    assert await told(shop) == [(NEW, None, "silver")]
    await shop.take(record("purchase-returned", returned("o-2", customer_id=OLD)))
    assert await told(shop) == [(NEW, None, "silver"), (NEW, "silver", None)]


async def test_who_is_joined_keeps_the_tier_last_told_until_he_is_parted(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-1", "6000", days_ago=300), merged())
    await shop.live_until(NOW + timedelta(days=120))
    assert await told(shop) == [(OLD, None, "silver"), (NEW, None, "silver"), (NEW, "silver", None)]
    await shop.take(parted())
    assert (await told(shop))[3:] == [(OLD, "silver", None)]
    assert await shop.job("tiers").next_due() is None


async def test_a_new_version_judges_groups_and_nobody_who_is_joined(shop: Shop) -> None:
    await shop.job("tiers").run()
    await shop.take(bought(OLD, "o-1", "300"), bought(NEW, "o-2", "300"), merged())
    start = NOW + timedelta(days=3)
    bronze = {"name": "bronze", "qualify": {"spend": "600.00", "window_days": 365}}
    await shop.post(active_from=start.isoformat(), tiers=[bronze])
    await shop.live_until(start)
    assert await told(shop) == [(NEW, None, "bronze")]


async def test_points_of_a_joined_id_expire_under_the_id_they_were_earned_under(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-1", "1000"), merged())
    await shop.live_until(NOW + timedelta(days=400))
    assert [(e["customer_id"], e["points"]) for e in await shop.published("points-expired")] == [(OLD, 100)]
    assert (await shop.balance(NEW)).available == 0
    assert (await shop.verified()).broken is None


@pytest.mark.parametrize("buyer", [OLD, NEW])
async def test_a_merge_may_come_before_anybody_bought(shop: Shop, buyer: str) -> None:
    await shop.take(merged())
    async with shop.client() as client:
        assert (await client.get(f"/accounts/{NEW}")).status_code == 404
    await shop.take(bought(buyer, "o-1", "5000"))
    assert (await account(shop, NEW))["pending"] == (await account(shop, OLD))["pending"] == 500
    assert await told(shop) == [(NEW, None, "silver")]


async def test_the_undo_may_come_before_the_merge(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-1"), bought(NEW, "o-2"))
    await shop.take(parted())
    await shop.take(merged())
    assert await pointers(shop) == {OLD: None, NEW: None}
    assert (await shop.balance(NEW)).pending == 10


async def test_every_version_is_acknowledged_and_one_delivered_again_is_not(shop: Shop) -> None:
    await shop.take(parted(id="e-2"))
    await shop.take(merged(id="e-1"), parted(id="e-2"))
    applied = await shop.published("merge-applied")
    assert [(a["customer_id"], a["merge_id"], a["version"], a["service"]) for a in applied] == [
        (NEW, f"{OLD}>{NEW}", 2, "loyalty"),
        (NEW, f"{OLD}>{NEW}", 1, "loyalty"),
    ]


async def test_a_merge_of_the_survivor_takes_everybody_along_and_back(shop: Shop) -> None:
    await shop.take(bought("c-1", "o-1", "2000"), bought("c-2", "o-2", "2000"), bought("c-3", "o-3", "2000"))
    await shop.take(merged("c-1", "c-2"), merged("c-2", "c-3"))
    assert await pointers(shop) == {"c-1": "c-3", "c-2": "c-3", "c-3": None}
    assert (await shop.balance("c-1")).pending == 600
    await shop.take(parted("c-2", "c-3"))
    assert await pointers(shop) == {"c-1": "c-2", "c-2": None, "c-3": None}
    assert ((await shop.balance("c-1")).pending, (await shop.balance("c-3")).pending) == (400, 200)
    assert await told(shop) == [("c-3", None, "silver"), ("c-3", "silver", None)]


async def test_purchases_of_both_ids_at_once_leave_the_group_with_the_tier_of_all(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-0", "10", days_ago=30), merged())
    batches = [bought((OLD, NEW)[n % 2], f"o-{n}", "500", days_ago=n) for n in range(1, 11)]
    await asyncio.gather(*(shop.take(batch) for batch in batches))
    assert await told(shop) == [(NEW, None, "silver")]
    assert (await shop.verified()).broken is None


PATHS = ["", "/balance", "/entries", "/lots", "/explanation"]


async def test_either_ids_token_sees_the_whole_person_and_nobody_else_does(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-1"), bought(NEW, "o-2"), bought("c-3", "o-3"), merged())
    for token, others in ((OLD, 200), (NEW, 200), ("c-3", 404)):
        async with shop.client(customer_id=token) as client:
            for path in PATHS:
                assert await _statuses(client, path) == [others, others]
                third = await client.get(f"/accounts/c-3{path}")
                assert third.status_code == (200 if token == "c-3" else 404)
    await shop.take(parted())
    async with shop.client(customer_id=OLD) as client:
        assert await _statuses(client, "") == [200, 404]


async def _statuses(client: httpx.AsyncClient, path: str) -> list[int]:
    return [(await client.get(f"/accounts/{customer}{path}")).status_code for customer in (OLD, NEW)]


async def test_entries_lots_and_explanation_are_of_both_ids_in_pages(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-1", days_ago=30))
    await shop.take(bought(NEW, "o-2", days_ago=20), merged())
    async with shop.client() as client:
        entries: list[dict[str, Any]] = []
        cursor = None
        while not entries or cursor:
            query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
            page = (await client.get(f"/accounts/{OLD}/entries", params=query)).json()
            entries += page["items"]
            cursor = page["next_cursor"]
        lots = (await client.get(f"/accounts/{OLD}/lots")).json()["items"]
        tree = (await client.get(f"/accounts/{OLD}/explanation")).json()
    assert sorted((e["customer_id"], e["seq"]) for e in entries) == [(NEW, 1), (NEW, 2), (OLD, 1), (OLD, 2)]
    assert [lot["order_id"] for lot in lots] == ["o-2", "o-1"]
    assert (tree["available"], [order["order_id"] for order in tree["orders"]]) == (20, ["o-1", "o-2"])
