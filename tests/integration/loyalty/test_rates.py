"""A shop that sells in several currencies: points and tiers in one, whatever comes in whatever order."""

import random
from datetime import timedelta
from typing import Any

import pytest

from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop, open_shop
from tests.integration.loyalty.test_backtests import asked as backtested
from tests.integration.loyalty.test_http import PROGRAMME, STAFF
from tests.integration.loyalty.test_simulations import asked, basket
from tests.kit.builders import NOW, about_order, line, money, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "loyalty"
TIERS: list[dict[str, Any]] = [
    {"name": "silver", "qualify": {"spend": "4000.00", "window_days": 120}, "multiply": "1.3"},
    {"name": "gold", "qualify": {"spend": "12000.00", "window_days": 365}},
]
WITHOUT_FACTORS = [{**tier, "multiply": None} for tier in TIERS]


def bought(customer: str, order: str, total: str, days_ago: float, currency: str = "USD") -> Record:
    lines = [line(amount=total, quantity=2, currency=currency, category="tea")]
    data = purchase(customer, order, total=total, days_ago=days_ago, currency=currency, lines=lines)
    return record("purchase-recorded", data)


def history() -> list[Record]:
    dice = random.Random(3)
    records = []
    for n in range(60):
        customer, order, days_ago = f"c-{n % 3}", f"o-{n}", dice.uniform(0, 400)
        currency, total = dice.choice((("USD", "63.01"), ("JPY", "9001"), ("EUR", "80"), ("TWD", "1990")))
        records.append(bought(customer, order, total, days_ago, currency))
        since = dice.uniform(0, days_ago)
        if n % 4 == 1:
            records.append(record("purchase-returned", returned(order, customer_id=customer, days_ago=since)))
        if n % 4 == 2:
            back = money("7", currency)
            records.append(record("purchase-returned", returned(order, customer_id=customer, days_ago=0, amount=back)))
        if n % 12 == 5:
            records.append(record("purchase-cancelled", about_order(order, customer_id=customer, days_ago=since)))
    return records


async def lived(shop: Shop, records: list[Record], dice: random.Random, tiers: list[dict[str, Any]]) -> str:
    tiers = [{key: value for key, value in tier.items() if value is not None} for tier in tiers]
    for days_ago, rates in ((500, {"USD": "31.5", "JPY": "0.213"}), (150, {"USD": "29.87"})):
        active_from = (NOW - timedelta(days=days_ago)).isoformat()
        await shop.post(active_from=active_from, tiers=tiers, rates=rates, tier_grace_days=9)
    while records:
        size = dice.choice((1, 2, 7, 40))
        batch, records = records[:size], records[size:]
        await shop.take(*batch)
    assert (await shop.verified()).broken is None
    return await shop.state_hash()


@pytest.mark.parametrize("tiers", [TIERS, WITHOUT_FACTORS], ids=["factors", "no-factors"])
async def test_orders_of_many_currencies_in_any_order_give_one_state(
    databases: Databases, tiers: list[dict[str, Any]]
) -> None:
    dice = random.Random(8)
    records = history()
    shuffled = records + dice.choices(records, k=30)
    dice.shuffle(shuffled)
    in_time = sorted(records, key=lambda one: str(one.value).split('"occurred_at":"')[1][:19])
    states = set()
    for order in (records, shuffled, in_time):
        async with databases.fresh(SERVICE) as made, open_shop(made) as shop:
            states.add(await lived(shop, list(order), dice, tiers))
    assert len(states) == 1


async def test_a_tier_is_reached_by_purchases_in_another_currency_and_lost_by_their_return(shop: Shop) -> None:
    await shop.post(tiers=TIERS, rates={"USD": "31.5"}, rules=[])
    await shop.take(bought("c-1", "o-1", "100.00", 3))
    assert await shop.tier("c-1") is None
    await shop.take(bought("c-1", "o-2", "26.99", 2))
    assert await shop.tier("c-1") == "silver"
    assert [told["to_tier"] for told in await shop.published("tier-changed")] == ["silver"]
    await shop.post(tiers=TIERS, rates={"USD": "99"}, rules=[])
    # Half of 315 points, at the rate they were earned; and what is left is of no tier.
    await shop.take(record("purchase-returned", returned("o-1", customer_id="c-1", days_ago=1)))
    assert await shop.tier("c-1") is None
    [back] = await shop.published("points-reversed")
    assert back["points"] == 315 - 157


async def test_what_a_simulation_and_a_backtest_tell_is_at_the_versions_rates(shop: Shop) -> None:
    draft = {**PROGRAMME, "rules": [], "tiers": [], "rates": {"USD": "31.5"}}
    one = {**basket("c-1"), "total": money("100.00", "USD"), "lines": [line(amount="100", currency="USD")]}
    assert (await asked(shop, one)).json()["points"] == 0
    told = (await asked(shop, one, programme=draft)).json()
    assert told["points"] == 315
    await shop.take(bought("c-1", "o-1", "100.00", 3))
    async with shop.client(STAFF) as staff:
        found = await backtested(shop, staff, programme=draft)
    assert (found["tried"]["points"]["awarded"], found["compared"]["points"]["awarded"]) == (315, 0)
