"""What a purchase would earn is what it then earns, and asking leaves nothing behind."""

import random
from typing import Any

import pytest

from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_http import PROGRAMME, STAFF
from tests.integration.loyalty.test_merges import merged
from tests.integration.shared.test_kills import state
from tests.kit.builders import line, money, purchase, record, returned

SERVICE = "loyalty"
RULES: list[dict[str, Any]] = [
    {"id": "tea", "order": 1, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"multiply": "2"},
     "text": {"en": "Double points on tea"}, "cap": {"points": 30, "per": "month", "scope": "customer"}},
    {"id": "first", "order": 2, "on": "first-purchase", "effect": {"bonus": 100}},
]  # fmt: skip


def basket(customer: str | None, total: str = "200", days_ago: float = 0, **fields: Any) -> dict[str, Any]:
    tea = [line(amount=total, category="tea")]
    data = purchase(customer or "x", total=total, days_ago=days_ago, lines=tea, **fields)
    del data["order_id"]
    if customer is None:
        del data["customer_id"]
    return data


async def asked(shop: Shop, data: dict[str, Any], scope: str = STAFF, own: str | None = None, **more: Any) -> Any:
    async with shop.client(scope, own) as client:
        return await client.post("/simulations", json={"purchase": data, **more})


async def test_what_is_told_is_earned_whatever_was_bought_returned_or_capped_before(shop: Shop) -> None:
    silver = {"name": "silver", "qualify": {"spend": "500", "window_days": 90}, "multiply": "1.5"}
    await shop.post(rules=RULES, tiers=[silver])
    dice = random.Random(4)
    for n in range(12):
        customer = f"c-{dice.randrange(3)}"
        data = basket(customer, str(dice.randrange(1, 900)), dice.uniform(0, 80))
        told = await asked(shop, data)
        assert told.status_code == 200, told.text
        await shop.take(record("purchase-recorded", {**data, "order_id": f"o-{n}"}))
        async with shop.client(STAFF) as client:
            lots = (await client.get(f"/accounts/{customer}/lots", params={"limit": 200})).json()["items"]
        [lot] = [lot for lot in lots if lot["order_id"] == f"o-{n}"] or [{"points": 0}]
        assert told.json()["points"] == lot["points"], data
        assert sum(part["awarded"] for part in told.json()["parts"]) == lot["points"]
        if n % 4 == 3:
            await shop.take(record("purchase-returned", returned(f"o-{n}", customer_id=customer, amount=money("1"))))


async def test_asking_writes_nothing_and_names_the_rules_to_the_customer(shop: Shop) -> None:
    await shop.post(rules=RULES)
    await shop.take(record("purchase-recorded", {**basket("c-1"), "order_id": "o-1"}))
    before = await state(shop.db)
    told = (await asked(shop, basket("c-1"))).json()
    parts = [(part["rule"], part["wanted"], part["awarded"]) for part in told["parts"]]
    assert parts == [("base", 20, 20), ("tea", 20, 10)]
    assert told["parts"][1]["text"] == {"en": "Double points on tea"}
    stranger = (await asked(shop, basket(None))).json()
    assert [part["rule"] for part in stranger["parts"]] == ["base", "tea", "first"]
    assert stranger == (await asked(shop, basket("never-heard-of"))).json() | {
        "available_from": stranger["available_from"], "expires_at": stranger["expires_at"],
    }  # fmt: skip
    assert await state(shop.db) == before


async def test_staff_try_a_version_that_nobody_has_posted(shop: Shop) -> None:
    await shop.post(rules=RULES)
    draft = {**PROGRAMME, "rules": [{"id": "ten", "order": 1, "on": "purchase", "effect": {"bonus": 10}}]}
    told = (await asked(shop, basket("c-1"), programme=draft)).json()
    assert (told["points"], told["draft"], told["programme_version"]) == (30, True, None)
    later = {**draft, "active_from": "2100-01-01T00:00:00Z"}
    told = (await asked(shop, basket("c-1"), programme=later)).json()
    assert (told["draft"], [part["rule"] for part in told["parts"]]) == (False, ["base", "tea", "first"])
    async with shop.client(STAFF) as client:
        assert [one["version"] for one in (await client.get("/programmes")).json()["items"]] == [2, 1]


async def test_a_customer_asks_for_himself_under_any_id_and_tries_no_versions(shop: Shop) -> None:
    await shop.take(record("purchase-recorded", {**basket("c-old"), "order_id": "o-1"}), merged("c-old", "c-new"))
    own = {"scope": "loyalty:read", "own": "c-new"}
    for customer in (None, "c-new", "c-old"):
        assert (await asked(shop, basket(customer), **own)).status_code == 200
    assert (await asked(shop, basket("c-other"), **own)).status_code == 404
    assert (await asked(shop, basket("c-new"), **own, programme=PROGRAMME)).status_code == 403
    assert (await asked(shop, basket("c-new"), scope="profile:read")).status_code == 403


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"order_id": "o"}, "/purchase/order_id"), ({"channel": "fax"}, "/purchase/channel"),
        ({"total": {"amount": "1.001", "currency": "TWD"}}, "/purchase/total"),
        ({"occurred_at": "2300-01-01T00:00:00Z"}, "/purchase/occurred_at"),
        ({"lines": [{}]}, "/purchase/lines/0/line_id"),
        ({"customer_id": "a b"}, "/purchase/customer_id"), ({"customer_id": 7}, "/purchase/customer_id"),
    ],
)  # fmt: skip
async def test_what_is_no_purchase_is_refused_by_its_field(shop: Shop, changes: dict[str, Any], pointer: str) -> None:
    refused = await asked(shop, {**basket("c-1"), **changes})
    assert refused.status_code == 422, refused.text
    assert refused.json()["errors"][0]["pointer"] == pointer
