"""Rules that ask for segments: an order is judged by what the facts say of its instant, whatever came first."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest

from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop, open_shop
from tests.integration.loyalty.test_backtests import asked as backtested
from tests.integration.loyalty.test_earning import history
from tests.integration.loyalty.test_http import PROGRAMME, STAFF
from tests.integration.loyalty.test_merges import NEW, OLD, bought, merged, parted
from tests.integration.loyalty.test_simulations import asked, basket
from tests.kit.builders import NOW, at, record
from tests.kit.databases import Databases

SERVICE = "loyalty"
REGULARS: dict[str, Any] = {
    "id": "regulars", "order": 1, "on": "purchase", "when": {"segment": ["regulars"]}, "effect": {"bonus": 7},
}  # fmt: skip
RULES = [
    {**REGULARS, "cap": {"points": 30, "per": "month"}},
    {**REGULARS, "id": "back", "when": {"segment": ["lifecycle:dormant", "lifecycle:lost"], "category": ["tea"]},
     "effect": {"multiply": "2"}},
]  # fmt: skip
TIERS: list[dict[str, Any]] = [
    {"name": "silver", "qualify": {"points": 500, "window_days": 120}, "multiply": "1.3"},
    {"name": "gold", "qualify": {"spend": "12000.00", "window_days": 365}},
]


def placed(customer: str, segment: str, to: str, sequence: int, days_ago: float) -> Record:
    said: dict[str, Any] = {
        "customer_id": customer, "sequence": sequence, "caused_by": {"source": "/roost/profile/segments", "id": "s"},
        "occurred_at": at(days_ago), "segment": segment, "kind": "own", "rule_version": 1, "cause": "event", "to": to,
    }  # fmt: skip
    return record("segment-changed", said, source="/roost/profile")


def moves(dice: random.Random) -> list[Record]:
    """Three customers go in and out of two segments; some of it is corrected."""
    found = []
    for customer in ("c-0", "c-1", "c-2"):
        days = sorted((dice.uniform(0, 400) for _ in range(12)), reverse=True)
        for number, days_ago in enumerate(days, start=1):
            own = number % 2
            to = dice.choice(("in", "out") if own else ("dormant", "active", "lost"))
            found.append(placed(customer, "regulars" if own else "lifecycle", to, number, days_ago))
        found.append(placed(customer, "regulars", "in", 13, dice.uniform(100, 300)))
    return found


async def lived(shop: Shop, records: list[Record], dice: random.Random, *, sweeps: bool = False) -> str:
    await shop.post(active_from=(NOW - timedelta(days=500)).isoformat(), rules=RULES[:1])
    await shop.post(active_from=(NOW - timedelta(days=250)).isoformat(), rules=RULES, tiers=TIERS)
    await shop.post(active_from=(NOW - timedelta(days=60)).isoformat())
    while records:
        size = dice.choice((1, 2, 7, 40))
        batch, records = records[:size], records[size:]
        await shop.take(*batch)
        if sweeps and dice.random() < 0.2:
            await shop.job("sweep").run()
    assert (await shop.verified()).broken is None
    return await shop.state_hash()


@pytest.mark.parametrize("seed", range(2))
async def test_orders_and_changes_of_segments_in_any_order_give_one_state(databases: Databases, seed: int) -> None:
    dice = random.Random(seed)
    said, sold = moves(dice), history()
    mixed = said + sold + dice.choices(said + sold, k=40)
    dice.shuffle(mixed)
    in_time = sorted(said + sold, key=lambda one: str(one.value).split('"occurred_at":"')[1][:19])
    states = set()
    for order in (said + sold, sold + said, in_time, mixed):
        async with databases.fresh(SERVICE) as made, open_shop(made) as shop:
            states.add(await lived(shop, list(order), dice, sweeps=order is mixed))
    assert len(states) == 1
    async with databases.fresh(SERVICE) as made, open_shop(made) as shop:
        assert await lived(shop, sold, dice) not in states, "segments have changed what was earned"


async def test_a_change_that_is_told_late_judges_later_orders_anew_and_none_before_it(shop: Shop) -> None:
    await shop.post(rules=[REGULARS], tiers=[])
    await shop.take(bought("c-1", "o-1", "100", 9), bought("c-1", "o-2", "100", 3), bought("c-2", "o-3", "100", 3))
    await shop.take(placed("c-1", "regulars", "in", 1, 5))
    assert (await shop.balance("c-1")).pending == 20 + 7
    told = (await shop.published("points-earned"))[-1]
    assert (told["order_id"], told["points"], told["caused_by"]["source"]) == ("o-2", 7, "/roost/profile")
    assert told["occurred_at"] == "2026-11-17T04:00:00Z", "no point is earned before its order was placed"
    await shop.take(placed("c-1", "regulars", "out", 2, 4))
    assert (await shop.balance("c-1")).pending == 20
    assert (await shop.balance("c-2")).pending == 10
    assert (await shop.verified()).broken is None


async def test_ids_of_one_person_are_each_judged_by_what_was_said_of_them(shop: Shop) -> None:
    await shop.post(rules=[REGULARS], tiers=[{"name": "silver", "qualify": {"points": 30, "window_days": 90}}])
    await shop.take(bought(OLD, "o-1", "100", 9), bought(NEW, "o-2", "100", 3), merged())
    await shop.take(placed(OLD, "regulars", "in", 1, 20))
    assert (await shop.balance(NEW)).pending == 20 + 7
    assert await shop.tier(NEW) is None
    await shop.take(placed(NEW, "regulars", "in", 1, 20))
    assert (await shop.balance(NEW)).pending == 20 + 14
    assert await shop.tier(NEW) == "silver"
    await shop.take(parted())
    assert (await shop.balance(OLD)).pending == 17
    assert (await shop.verified()).broken is None


async def test_at_once_an_order_and_the_change_that_it_is_judged_by_come_to_the_same(shop: Shop) -> None:
    await shop.post(rules=[REGULARS], tiers=[])
    for n in range(12):
        order = bought(f"c-{n}", f"o-{n}", "100", 1)
        said = placed(f"c-{n}", "regulars", "in", 1, 2)
        await asyncio.gather(shop.take(order), shop.take(said))
    for n in range(12):
        assert (await shop.balance(f"c-{n}")).pending == 17


async def test_a_version_that_is_posted_at_once_with_a_change_waits_for_it(shop: Shop) -> None:
    async def order_after_post() -> None:
        await shop.post(rules=[REGULARS], tiers=[])
        await shop.take(bought("c-1", "o-1", "100", 1))

    await asyncio.gather(shop.take(placed("c-1", "regulars", "in", 1, 2)), order_after_post())
    assert (await shop.balance("c-1")).pending == 17


async def test_where_no_version_asks_for_segments_a_change_opens_no_account_and_the_history_is_kept(
    shop: Shop,
) -> None:
    await shop.post(rules=[], tiers=[])
    await shop.take(placed("c-1", "regulars", "in", 1, 9), placed("c-1", "regulars", "out", 2, 4))
    async with shop.db.transaction() as tx:
        assert not await fetch(tx, "SELECT customer_id FROM accounts")
    await shop.post(rules=[REGULARS], tiers=[])
    await shop.take(bought("c-1", "o-1", "100", 6), bought("c-1", "o-2", "100", 3))
    assert (await shop.balance("c-1")).pending == 17 + 10


async def test_simulations_explanations_and_backtests_know_the_segments(shop: Shop) -> None:
    draft = {**PROGRAMME, "rules": [REGULARS], "tiers": []}
    await shop.post(rules=[], tiers=[])
    await shop.take(placed("c-1", "regulars", "in", 1, 50), placed("c-1", "regulars", "out", 2, 20))
    await shop.take(bought("c-1", "o-1", "100", 30), bought("c-1", "o-2", "100", 10))
    told = [
        (await asked(shop, basket(customer, "100", days), programme=draft)).json()["points"]
        for customer, days in (("c-1", 25), ("c-1", 5), ("c-2", 25))
    ]
    assert told == [17, 10, 10]
    async with shop.client(STAFF) as staff:
        found = await backtested(shop, staff, programme=draft)
        assert (found["tried"]["points"]["awarded"], found["compared"]["points"]["awarded"]) == (27, 20)
        await shop.post(rules=[REGULARS], tiers=[])
        await shop.take(bought("c-1", "o-3", "100", 25))
        explained = (await staff.get("/accounts/c-1/explanation")).json()
    assert "regulars" in str(explained)


async def test_the_history_is_exported_and_an_erasure_leaves_it_to_orders_without_a_name(shop: Shop) -> None:
    await shop.post(rules=[REGULARS], tiers=[])
    await shop.take(placed("c-1", "regulars", "in", 1, 9), bought("c-1", "o-1", "100", 6))
    async with shop.client() as http:
        exported = (await http.get("/accounts/c-1/export")).json()["segment_history"]
    assert [(row["segment"], row["class"], row["sequence"]) for row in exported] == [("regulars", "in", 1)]
    before = (await shop.verified()).books
    cause = {"source": "/roost/profile/requests", "id": "r"}
    said = {"customer_id": "c-1", "sequence": 9, "caused_by": cause, "occurred_at": at(0)}
    await shop.take(record("customer-erased", {**said, "erasure_id": "e-1", "customer_ids": ["c-1"]}))
    async with shop.db.transaction() as tx:
        [kept] = await fetch(tx, "SELECT h.customer_id FROM segment_history AS h JOIN accounts USING (customer_id)")
        assert kept["customer_id"].startswith("erased~")
        assert not await fetch(tx, "SELECT customer_id FROM segment_history WHERE customer_id = 'c-1'")
    assert (await shop.verified()).books == before
