"""Whatever a rule asks of the orders before, the order in which they are heard of doesn't matter."""

import random
from datetime import timedelta
from typing import Any

import pytest

from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop, open_shop
from tests.integration.loyalty.test_earning import history
from tests.kit.builders import NOW
from tests.kit.databases import Databases

SERVICE = "loyalty"
TIERS: list[dict[str, Any]] = [
    {"name": "silver", "qualify": {"spend": "4000.00", "window_days": 120}, "multiply": "1.3"},
    {"name": "gold", "qualify": {"spend": "12000.00", "window_days": 365}},
]
BY_POINTS: list[dict[str, Any]] = [
    {"name": "silver", "qualify": {"points": 500, "window_days": 120}, "multiply": "1.3"},
    {"name": "gold", "qualify": {"points": 2500, "window_days": 365}},
]
RULES: list[dict[str, Any]] = [
    {"id": "pieces", "order": 1, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"per_unit": 7},
     "cap": {"points": 30, "per": "month"}},
    *({"id": f"nth-{per}", "order": 2, "on": "nth-purchase", "nth": {"n": n, "per": per}, "effect": {"bonus": 11 * n}}
      for n, per in ((2, "month"), (3, "year"), (9, "lifetime"))),
    {"id": "weeks", "order": 3, "on": "purchase", "when": {"streak": {"n": 2, "per": "week"}}, "effect": {"bonus": 13}},
    {"id": "months", "order": 3, "on": "purchase", "when": {"streak": {"n": 3, "per": "month"}},
     "effect": {"multiply": "1.1"}},
    {"id": "held", "order": 4, "on": "purchase", "when": {"tier": ["gold"]}, "effect": {"multiply": "2"}},
]  # fmt: skip


async def lived(shop: Shop, records: list[Record], dice: random.Random, tiers: list[dict[str, Any]]) -> str:
    points = {"award": 3, "per": {"amount": "40.00", "currency": "TWD"}, "rounding": "half-up"}
    for days_ago, base in ((500, "paid-without-tax"), (150, "before-discount")):
        await shop.post(
            active_from=(NOW - timedelta(days=days_ago)).isoformat(), rules=RULES, tiers=tiers, tier_grace_days=9,
            points={**points, "base": base}, expiry={"kind": "month-end", "months": 6},
        )  # fmt: skip
    while records:
        size = dice.choice((1, 2, 7, 40))
        batch, records = records[:size], records[size:]
        await shop.take(*batch)
    proof = await shop.verified()
    assert proof.broken is None
    return await shop.state_hash()


@pytest.mark.parametrize("tiers", [TIERS, BY_POINTS], ids=["by-spend", "by-points"])
@pytest.mark.parametrize("seed", range(2))
async def test_any_order_of_events_gives_one_state(
    databases: Databases, seed: int, tiers: list[dict[str, Any]]
) -> None:
    dice = random.Random(seed)
    records = history()
    shuffled = records + dice.choices(records, k=30)
    dice.shuffle(shuffled)
    async with databases.fresh(SERVICE) as made, open_shop(made) as straight:
        expected = await lived(straight, records, dice, tiers)
    async with databases.fresh(SERVICE) as made, open_shop(made) as crooked:
        assert await lived(crooked, shuffled, dice, tiers) == expected


async def test_in_the_order_of_time_each_order_alone_gives_what_all_of_them_give_at_once(databases: Databases) -> None:
    dice = random.Random(5)
    purchases = sorted((one for one in history() if one.topic == "purchase-recorded"), key=_occurred_at)
    for tiers in (TIERS, BY_POINTS):
        async with databases.fresh(SERVICE) as made, open_shop(made) as alone:
            one_by_one = await lived(alone, list(purchases), dice, tiers)
        async with databases.fresh(SERVICE) as made, open_shop(made) as reverse:
            assert await lived(reverse, purchases[::-1], dice, tiers) == one_by_one


def _occurred_at(one: Record) -> str:
    return str(one.value).split('"occurred_at":"')[1][:19]
