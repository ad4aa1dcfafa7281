"""Every point of a balance is told down to what earned it and what used it, whatever happened before."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.loyalty.earning.rounding import unrounded
from services.loyalty.ledger import grants, reading
from services.loyalty.ledger.domain import Cause, Grant
from services.loyalty.ledger.grants import Given
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_spending_story import IDS, Story, story
from tests.kit.builders import NOW, at, line, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "loyalty"
SEEDS = 6
STEPS = 35
KINDS: Sequence[Grant] = ("adjustment", "compensation", "occasion", "gift", "referral", "transfer")
BALANCE = ("available", "pending", "held", "debt")


async def grant(
    shop: Shop, customer: str, id: str, kind: Grant, points: int, *, withdrawn: bool = False, version: int = 1
) -> None:
    now = shop.clock.now()
    cause = Cause("/test", id, now)
    given = Given(
        customer, kind, id, points, now, now + timedelta(days=2), now + timedelta(days=90), version, "TWD", cause,
        withdrawn,
    )  # fmt: skip
    async with shop.db.transaction() as tx:
        await grants.give(tx, [given], now)


async def explained(client: httpx.AsyncClient, customer: str) -> Any:
    answer = await client.get(f"/accounts/{customer}/explanation")
    assert answer.status_code == 200, answer.text
    return answer.json()


def adds_up(tree: Any) -> None:
    """Leaves make lots, lots make the balance."""
    branches = tree["orders"] + tree["grants"]
    for branch in branches:
        uses: dict[str, int] = {}
        for use in branch["uses"]:
            assert use["points"] > 0
            uses[use["kind"]] = uses.get(use["kind"], 0) + use["points"]
        assert sum(leaf["points"] for leaf in branch["leaves"]) == branch["points"]
        assert sum(leaf["awarded"] for leaf in branch["leaves"]) == branch["points"] + branch["reversed"]
        if branch["lines"]:
            assert sum(one["points"] for one in branch["lines"]) == branch["points"]
        free = branch["available"] + branch["pending"]
        assert free + sum(uses.values()) - branch["owed"] == branch["points"]
        assert branch["held"] == uses.get("hold", 0)
        assert branch["debt"] == branch["owed"] - uses.get("debt", 0)
    assert tree["available"] == sum(branch["available"] for branch in branches) - tree["settling"]
    assert tree["pending"] == sum(branch["pending"] for branch in branches)
    assert tree["held"] == sum(branch["held"] for branch in branches)
    owed = sum(branch["debt"] for branch in branches) + sum(one["debt"] for one in tree["unbacked"])
    assert tree["debt"] == owed - tree["settling"]


async def lots_of(client: httpx.AsyncClient, customer: str) -> list[Any]:
    answer = await client.get(f"/accounts/{customer}/lots", params={"limit": 200})
    assert (answer.status_code, answer.json()["next_cursor"]) == (200, None), answer.text
    found: list[Any] = answer.json()["items"]
    return found


async def compare(lived: Story, customer: str) -> None:
    account = await lived.account(customer)
    if account is not None:
        lots = await lots_of(lived.http, customer)
        shown = [sum(one["free"] for one in lots if one["state"] == state) for state in BALANCE[:2]]
        assert [*shown, sum(one["held"] for one in lots)] == [account[name] for name in BALANCE[:3]]
        tree = await explained(lived.http, customer)
        adds_up(tree)
        assert [tree[name] for name in BALANCE] == [account[name] for name in BALANCE]


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_the_leaves_sum_to_the_balance_after_every_step_of_any_history(databases: Databases, seed: int) -> None:
    rng = random.Random(1000 + seed)
    async with story(databases, rng) as lived:
        for customer in IDS * 2:
            await lived.buy(customer, days_ago=rng.randint(20, 300))
        given: list[tuple[str, str, Grant, int]] = []
        for step in range(STEPS):
            dice = rng.random()
            if dice < 0.15:
                given.append((rng.choice(IDS), f"g-{step}", rng.choice(KINDS), rng.choice((5, 30))))
                await grant(lived.shop, *given[-1])
            elif dice < 0.2 and given:
                await grant(lived.shop, *rng.choice(given), withdrawn=True)
            else:
                await lived.step()
            for customer in IDS:
                await compare(lived, customer)
        assert (await lived.shop.verified()).broken is None


async def test_a_tree_names_what_took_held_and_was_repaid(shop: Shop) -> None:
    await shop.post(active_from=at(400), rules=[])
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="1000", days_ago=40)))
    async with shop.client("loyalty:read loyalty:write") as client:
        key = {"Idempotency-Key": "k-1"}
        taken = (await client.post("/redemptions", json={"customer_id": "c-1", "points": 70}, headers=key)).json()
        quote = (await client.post("/quotes", json={"customer_id": "c-1", "points": 10}, headers=key)).json()
        hold = (await client.post("/holds", json={"quote_id": quote["id"], "ttl": 600}, headers=key)).json()
        tree = await explained(client, "c-1")
        assert [(one["kind"], one["points"], one["id"]) for one in tree["orders"][0]["uses"]] == [
            ("redemption", 70, taken["id"]),
            ("hold", 10, hold["id"]),
        ]
        assert (tree["available"], tree["held"]) == (20, 10)
        shop.clock.set(NOW + timedelta(seconds=600))
        assert [(tree[name]) for tree in [await explained(client, "c-1")] for name in BALANCE] == [30, 0, 0, 0]
        await shop.take(record("purchase-returned", returned("o-1", customer_id="c-1")))
        assert (await explained(client, "c-1"))["debt"] == 70
        await shop.take(record("purchase-recorded", purchase("c-1", "o-2", total="500", days_ago=20)))
        tree = await explained(client, "c-1")
        assert [(one["kind"], one["points"], one["id"], one["origin"]) for one in tree["orders"][1]["uses"]] == [
            ("debt", 50, "o-1", "order")
        ]
        assert (tree["available"], tree["debt"]) == (0, 20)


async def test_lines_sum_to_the_order_and_every_part_is_its_exact_value_rounded(shop: Shop) -> None:
    rules = [
        {"id": "tea", "order": 1, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"multiply": "1.37"}},
        {"id": "piece", "order": 2, "on": "purchase", "effect": {"per_unit": 3}},
        {"id": "first", "order": 3, "on": "first-purchase", "effect": {"bonus": 7}},
    ]
    per = {"award": 1, "per": {"amount": "7.00", "currency": "TWD"}, "base": "paid", "rounding": "half-up"}
    tiers = [{"name": "gold", "qualify": {"spend": "1.00", "window_days": 365}, "multiply": "1.13"}]
    await shop.post(active_from=at(400), rules=rules, points=per, tiers=tiers)
    dice = random.Random(5)
    for n in range(12):
        lines = [
            line(str(k), amount=f"{dice.randint(1, 90)}.{dice.randint(10, 99)}", category=dice.choice(("tea", "cup")))
            for k in range(3)
        ]
        total = f"{sum(float(one['unit_price']['amount']) for one in lines):.2f}"
        bought = purchase("c-1", f"o-{n}", total=total, days_ago=30 - n, lines=lines)
        await shop.take(record("purchase-recorded", bought))
        if n % 4 == 1:
            await shop.take(record("purchase-returned", returned(f"o-{n}", customer_id="c-1")))
    async with shop.client() as client:
        tree = await explained(client, "c-1")
    adds_up(tree)
    assert all(len(order["lines"]) == 3 for order in tree["orders"])
    parts = {leaf["rule"] for order in tree["orders"] for leaf in order["leaves"]}
    assert parts == {"base", "tea", "piece", "first", "tier"}
    async with shop.db.transaction() as tx:
        holder = await reading.holder_of(tx, "c-1")
        lots, _, _ = await reading.uses_of(tx, holder.accounts)
        for order, programme, judgement in await shop.accounts.earning.judged(tx, ["c-1"], lots):
            assert programme is not None
            for part in judgement.parts:
                exact = unrounded(part, order, programme)
                assert exact is not None
                assert programme.rounded(exact.numerator, exact.denominator) == part.wanted


async def used(client: httpx.AsyncClient) -> list[tuple[Any, ...]]:
    names = ("source_id", "free", "spent", "held", "repaid", "owed")
    return [tuple(one[name] for name in names) for one in await lots_of(client, "c-1")]


async def test_lots_show_nothing_held_by_what_has_run_out_swept_or_not(shop: Shop) -> None:
    await shop.post(active_from=at(400), rules=[])
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="1000", days_ago=40)))
    await shop.take(record("purchase-recorded", purchase("c-1", "o-2", total="50", days_ago=20)))
    async with shop.client("loyalty:read loyalty:write") as client:
        key = {"Idempotency-Key": "k-1"}
        await client.post("/redemptions", json={"customer_id": "c-1", "points": 60}, headers=key)
        quote = (await client.post("/quotes", json={"customer_id": "c-1", "points": 30}, headers=key)).json()
        assert (await client.post("/holds", json={"quote_id": quote["id"], "ttl": 600}, headers=key)).status_code == 201
        assert await used(client) == [("o-2", 5, 0, 0, 0, 0), ("o-1", 10, 60, 30, 0, 0)]
        shop.clock.set(NOW + timedelta(seconds=599))
        assert (await used(client))[1] == ("o-1", 10, 60, 30, 0, 0)
        shop.clock.set(NOW + timedelta(seconds=600))
        assert (await used(client))[1] == ("o-1", 40, 60, 0, 0, 0)

async def test_what_a_hold_gives_back_as_it_runs_out_pays_what_its_lot_owes(shop: Shop) -> None:
    await shop.post(active_from=at(400), rules=[])
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="1000", days_ago=40)))
    await shop.take(record("purchase-recorded", purchase("c-1", "o-2", total="50", days_ago=20)))
    part: dict[str, Any] = {"amount": {"amount": "300", "currency": "TWD"}}
    async with shop.client("loyalty:read loyalty:write") as client:
        key = {"Idempotency-Key": "k-1"}
        await client.post("/redemptions", json={"customer_id": "c-1", "points": 60}, headers=key)
        quote = (await client.post("/quotes", json={"customer_id": "c-1", "points": 30}, headers=key)).json()
        await client.post("/holds", json={"quote_id": quote["id"], "ttl": 600}, headers=key)
        await shop.take(record("purchase-returned", returned("o-1", customer_id="c-1", **part)))
        assert await used(client) == [("o-2", 0, 0, 0, 5, 0), ("o-1", 0, 60, 30, 0, 20)]
        shop.clock.set(NOW + timedelta(seconds=600))
        assert await used(client) == [("o-2", 5, 0, 0, 0, 0), ("o-1", 10, 60, 0, 0, 0)]
        account = (await client.get("/accounts/c-1")).json()
        assert [account[name] for name in BALANCE] == [15, 0, 0, 0]
