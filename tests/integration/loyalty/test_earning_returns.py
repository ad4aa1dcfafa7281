"""A return takes back what was earned, whatever has become of the rule; and counts outlive the versions."""

from datetime import timedelta
from typing import Any

from shared.db import execute, fetch
from tests.integration.loyalty.shop import Shop
from tests.kit.builders import NOW, line, purchase, record, returned

SERVICE = "loyalty"
LONG_AGO = (NOW - timedelta(days=100)).isoformat()
TEA: dict[str, Any] = {
    "id": "tea", "order": 1, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"multiply": "5"}
}  # fmt: skip


async def earned_fifty(shop: Shop) -> None:
    """A base of 10, and 40 of the rule."""
    await shop.post(active_from=LONG_AGO, rules=[TEA])
    data = purchase("c-1", "o-1", total="100", days_ago=2, lines=[line(amount="100", category="tea")])
    await shop.take(record("purchase-recorded", data))
    assert (await shop.balance("c-1")).pending == 50


async def taken_back(shop: Shop) -> list[tuple[int, int]]:
    await shop.take(record("purchase-returned", returned("o-1", customer_id="c-1")))
    assert (await shop.balance("c-1")).pending == 0
    assert (await shop.verified()).broken is None
    return [(event["points"], event["programme_version"]) for event in await shop.published("points-reversed")]


async def test_earn_50_double_the_rule_return_minus_50(shop: Shop) -> None:
    await earned_fifty(shop)
    await shop.post(active_from=LONG_AGO, rules=[{**TEA, "effect": {"multiply": "10"}}])
    assert await taken_back(shop) == [(50, 2)]


async def test_earn_50_delete_the_rule_return_minus_50(shop: Shop) -> None:
    await earned_fifty(shop)
    await shop.post(active_from=LONG_AGO, rules=[])
    assert await taken_back(shop) == [(50, 2)]


async def test_purchases_are_counted_before_a_version_that_asks_for_their_number(shop: Shop) -> None:
    for days_ago in (20, 15):
        await shop.take(record("purchase-recorded", purchase("c-1", f"o-{days_ago}", days_ago=days_ago)))
    third = {"id": "third", "order": 1, "on": "nth-purchase", "nth": {"n": 3, "per": "year"}, "effect": {"bonus": 70}}
    steady = {"id": "s", "order": 2, "on": "purchase", "when": {"streak": {"n": 2, "per": "week"}},
              "effect": {"bonus": 300}}  # fmt: skip
    await shop.post(active_from=(NOW - timedelta(days=5)).isoformat(), rules=[third, steady])
    await shop.take(record("purchase-recorded", purchase("c-1", "o-3", days_ago=0)))
    assert (await shop.balance("c-1")).lifetime_earned == 20 + 10 + 70
    await shop.take(record("purchase-recorded", purchase("c-1", "o-4", days_ago=7)))
    assert (await shop.balance("c-1")).lifetime_earned == 30 + 10 + 300, "the late one is the third of the year"


async def test_an_account_of_before_purchases_were_counted_is_folded_once_more(shop: Shop) -> None:
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", days_ago=2)))
    async with shop.db.transaction() as tx:
        await execute(tx, "UPDATE accounts SET caps = :caps", caps=b'{"tea":["2026-11",50]}')
    second = {"id": "second", "order": 1, "on": "nth-purchase", "nth": {"n": 2, "per": "month"}, "effect": {"bonus": 5}}
    await shop.post(active_from=(NOW - timedelta(days=1)).isoformat(), rules=[second])
    await shop.take(record("purchase-recorded", purchase("c-1", "o-2", days_ago=0)))
    assert (await shop.balance("c-1")).lifetime_earned == 25
    async with shop.db.transaction() as tx:
        [row] = await fetch(tx, "SELECT caps FROM accounts")
    assert b"counts" in row["caps"]
