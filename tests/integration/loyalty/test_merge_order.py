"""Whatever order purchases, returns, merges and undos come in: one result, and after the undos as if none had been."""

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.db import fetch
from shared.messaging.merges import hold
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop, open_shop
from tests.integration.loyalty.test_merges import bought, merged, parted
from tests.kit.builders import NOW, about_order, at, line, record, returned
from tests.kit.databases import Databases
from tests.kit.waiting import until

SERVICE = "loyalty"
PAIRS = [("c-1", "c-2"), ("c-2", "c-3"), ("c-1", "c-3")]
TIERS = [
    {"name": "silver", "qualify": {"spend": "3000.00", "window_days": 180}, "multiply": "1.1"},
    {"name": "gold", "qualify": {"spend": "6000.00", "window_days": 365}, "multiply": "1.5"},
]
WELCOME = {"id": "first-order", "order": 20, "on": "first-purchase", "effect": {"bonus": 100}}

Told = tuple[str, str | None, datetime | None]
"""Who, which tier was told last, and when it is due to change."""

order = st.tuples(
    st.sampled_from(["c-1", "c-2", "c-3"]),
    st.sampled_from(["480", "1990", "3500"]),
    st.integers(1, 400),
    st.sampled_from(["kept", "kept", "returned", "moved", "cancelled"]),
)
# Each merge: not made, made, made and undone.
merges = st.tuples(*[st.integers(0, 2)] * len(PAIRS))


def facts(orders: list[tuple[str, str, int, str]]) -> list[Record]:
    records = []
    for n, (customer, total, days_ago, fate) in enumerate(orders):
        fields: dict[str, Any] = {"lines": [line(amount=total, quantity=2)]}
        records.append(bought(customer, f"o-{n}", total, days_ago, **fields))
        since = days_ago / 2
        if fate == "returned":
            records.append(record("purchase-returned", returned(f"o-{n}", customer_id=customer, days_ago=since)))
        if fate == "cancelled":
            about = about_order(f"o-{n}", customer_id=customer, days_ago=since)
            records.append(record("purchase-cancelled", about))
        if fate == "moved":
            records.append(bought("c-2", f"o-{n}", "700", days_ago, order_version=2, **fields))
    return records


def joinings(made: tuple[int, ...]) -> list[Record]:
    """Versions in order, undos last."""
    pairs = list(zip(PAIRS, made, strict=True))
    return [merged(*pair) for pair, fate in pairs if fate] + [parted(*pair) for pair, fate in pairs if fate == 2]


async def lived(shop: Shop, records: list[Record], rng: random.Random) -> tuple[str, list[Told]]:
    """The state and the tiers told last, after the records came in batches of random sizes."""
    await shop.post(active_from=at(500), tiers=TIERS, rules=[WELCOME], tier_grace_days=20)
    while records:
        size = rng.choice((1, 2, 5))
        batch, records = records[:size], records[size:]
        await shop.take(*batch)
        proof = await shop.verified()
        assert (proof.broken, sum(proof.books.values())) == (None, 0)
    return await shop.state_hash(), await tiers(shop)


async def tiers(shop: Shop) -> list[Told]:
    """Of everybody who answers for himself."""
    query = """
        SELECT customer_id, tier, due_at FROM tiers JOIN accounts USING (account_id)
        WHERE survivor_account_id IS NULL AND (tier IS NOT NULL OR due_at IS NOT NULL) ORDER BY customer_id
    """
    async with shop.db.transaction() as tx:
        return [(row["customer_id"], row["tier"], row["due_at"]) for row in await fetch(tx, query)]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(order, min_size=2, max_size=9), merges, st.integers(0, 2**32))
async def test_any_order_of_purchases_merges_and_undos_leads_to_one_state(
    databases: Databases, orders: list[tuple[str, str, int, str]], made: tuple[int, ...], seed: int
) -> None:
    rng = random.Random(seed)
    told = facts(orders)
    straight = told + joinings(tuple(fate % 2 for fate in made))
    shuffled = told + joinings(made) + joinings(made)
    shuffled += rng.choices(shuffled, k=6)
    rng.shuffle(shuffled)
    async with databases.fresh(SERVICE) as database, open_shop(database) as shop:
        expected = await lived(shop, straight, random.Random(0))
    async with databases.fresh(SERVICE) as database, open_shop(database) as shop:
        assert await lived(shop, shuffled, rng) == expected


async def test_merges_purchases_and_jobs_at_once_wait_for_each_other_and_none_fails(shop: Shop) -> None:
    ids = [f"c-{n:02}" for n in range(60)]
    await shop.take(*(bought(id_, f"o-{id_}", "2000") for id_ in ids))
    shop.clock.set(NOW + timedelta(days=20))
    pairs = list(zip(ids[::2], ids[1::2], strict=True))
    purchases = (shop.take(*(bought(id_, f"o-{id_}-{n}", "1000") for id_ in ids[::-1])) for n in range(3))
    joining = (shop.take(*(merged(*pair) for pair in pairs[n::3])) for n in range(3))
    await asyncio.gather(shop.job("sweep").run(), *joining, shop.job("tiers").run(), *purchases)
    assert {id_: await shop.tier(id_) for id_ in ids} == dict.fromkeys(ids, "silver")
    held = await tiers(shop)
    assert [(customer, tier) for customer, tier, _ in held] == [(into_id, "silver") for _, into_id in pairs]
    assert (await shop.verified()).broken is None


@pytest.mark.parametrize("work", ["sweep", "tiers", "purchase"])
async def test_whoever_locks_accounts_waits_for_a_merge_first(shop: Shop, work: str) -> None:
    await shop.take(bought("c-1", "o-1", "2000"))
    shop.clock.set(NOW + timedelta(days=20))
    async with shop.db.transaction() as tx:
        await hold(tx)
        at_work = asyncio.create_task(_work(shop, work))
        await until(lambda: _waits(shop), 10, what="the wait for the merge")
        await fetch(tx, "SELECT account_id FROM accounts FOR UPDATE NOWAIT")
    await at_work
    assert (await shop.verified()).broken is None


async def _work(shop: Shop, work: str) -> None:
    if work == "purchase":
        await shop.take(bought("c-1", "o-2"))
    else:
        await shop.job(work).run()


async def _waits(shop: Shop) -> bool:
    query = """
        SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database
        WHERE locktype = 'advisory' AND NOT granted AND d.datname = current_database()
    """
    async with shop.db.transaction() as tx:
        return bool(await fetch(tx, query))
