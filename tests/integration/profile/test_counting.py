"""Orders as they stand and pairs of products, counted behind the purchases: always what a recount would give."""

import random
from collections import Counter
from datetime import date, datetime
from itertools import combinations
from typing import Any

import pytest

from services.profile.counting.application import Counting
from services.profile.purchases.domain import House
from shared.db import execute, fetch
from shared.messaging import facts
from tests.integration.profile.house import Profile, in_batches
from tests.integration.profile.test_permutations import story
from tests.kit.builders import about_order, event, line, purchase, record, returned

SERVICE = "profile"
HOUSE = House("TWD", "Asia/Taipei")
Counts = tuple[int, Counter[str], Counter[tuple[str, str]]]


def counting_of(profile: Profile) -> Counting:
    return Counting(profile.service.db, profile.clock, HOUSE)


async def count(profile: Profile) -> None:
    """Until nothing is left to count."""
    counting = counting_of(profile)
    while await counting.run():
        pass


async def counted(profile: Profile) -> Counts:
    async with profile.service.db.transaction() as tx:
        baskets = (await fetch(tx, "SELECT baskets FROM counting"))[0]["baskets"]
        items = await fetch(tx, "SELECT sku, baskets FROM item_counts WHERE baskets <> 0")
        pairs = await fetch(tx, "SELECT first, second, baskets FROM item_pairs WHERE baskets <> 0")
    return (
        baskets,
        Counter({row["sku"]: row["baskets"] for row in items}),
        Counter({(row["first"], row["second"]): row["baskets"] for row in pairs}),
    )


async def counted_at(profile: Profile) -> datetime | None:
    async with profile.service.db.transaction() as tx:
        return await counting_of(profile).counted_at(tx)


async def from_scratch(profile: Profile, customers: set[str]) -> tuple[Counts, set[tuple[str, str, int, bool]]]:
    async with profile.service.db.transaction() as tx:
        orders = [order for found in (await facts.orders_of(tx, customers)).values() for order in found]
    items: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    baskets = 0
    for order in orders:
        kept = {one.sku for one in order.lines if order.counts and one.returned_quantity < one.quantity}
        baskets += bool(kept)
        items.update(kept)
        pairs.update(combinations(sorted(kept), 2))
    rows = {(order.order_id, order.customer_id, order.net, order.counts) for order in orders}
    return (baskets, items, pairs), rows


def with_products(seed: int) -> list[Any]:
    """A story in which lines name products of their own."""
    dice = random.Random(seed)
    records = story(seed)
    told = []
    for one in records:
        value = one.value or b""
        while b'"sku-1"' in value:
            value = value.replace(b'"sku-1"', f'"sku {dice.randrange(10)}"'.encode(), 1)
        told.append(one._replace(value=value))
    return told


@pytest.mark.parametrize("seed", range(8))
async def test_what_is_counted_as_it_comes_equals_a_recount(profile: Profile, seed: int) -> None:
    records = with_products(seed)
    dice = random.Random(seed)
    dice.shuffle(records)
    counting = counting_of(profile)
    for batch in in_batches(records, dice.choice([2, 7, 30])):
        await profile.take(*batch)
        if dice.random() < 0.6:
            await counting.run()
    await count(profile)
    expected, rows = await from_scratch(profile, {f"pos:{n}" for n in range(6)})
    assert await counted(profile) == expected
    async with profile.service.db.transaction() as tx:
        stand = await fetch(tx, "SELECT order_id, customer_id, net, counts FROM standing_orders")
    assert {(row["order_id"], row["customer_id"], row["net"], row["counts"]) for row in stand} == rows
    assert expected[0] > 0
    assert await counting.run() == 0


async def test_a_return_and_a_cancellation_take_a_basket_apart(profile: Profile) -> None:
    counting = counting_of(profile)
    lines = [line("1", sku="tea"), line("2", sku="pot")]
    await profile.take(
        record("purchase-recorded", purchase(order_id="a", lines=lines)),
        record("purchase-recorded", purchase(order_id="b", lines=lines)),
    )
    await counting.run()
    assert (await counted(profile))[2] == {("pot", "tea"): 2}
    await profile.take(record("purchase-returned", returned("a")))
    await counting.run()
    assert await counted(profile) == (2, {"pot": 2, "tea": 1}, {("pot", "tea"): 1})
    await profile.take(record("purchase-cancelled", about_order("b")))
    await counting.run()
    assert await counted(profile) == (1, {"pot": 1}, {})


async def test_a_transaction_that_ends_late_is_counted_after_all(profile: Profile) -> None:
    counting = counting_of(profile)
    async with profile.service.db.transaction() as slow:
        await facts.record(slow, [event("purchase-recorded", purchase("pos:1", "slow"))])
        await profile.take(record("purchase-recorded", purchase("pos:2", "quick")))
        assert await counting.run() == 0
    assert await counting.run() == 2
    async with profile.service.db.transaction() as tx:
        found = await fetch(tx, "SELECT order_id, day FROM standing_orders ORDER BY order_id")
    today = date(2026, 11, 20)
    assert [(row["order_id"], row["day"]) for row in found] == [("quick", today), ("slow", today)]


async def test_a_database_restored_elsewhere_goes_on_counting(profile: Profile) -> None:
    await profile.take(record("purchase-recorded", purchase(order_id="a")))
    await count(profile)
    async with profile.service.db.transaction() as tx:
        # As a dump carries it into a server that has seen fewer transactions.
        await execute(tx, "UPDATE facts SET recorded_in = 1000000000000")
        await execute(tx, "UPDATE counting SET counted_to = 1000000000001")
    await profile.take(record("purchase-recorded", purchase(order_id="b")))
    await count(profile)
    await profile.take(record("purchase-recorded", purchase(order_id="c")))
    await count(profile)
    assert (await counted(profile))[0] == 3


async def test_a_stock_list_is_no_basket(profile: Profile) -> None:
    lines = [line(str(n), sku=f"sku {n}") for n in range(51)]
    await profile.take(record("purchase-recorded", purchase(lines=lines)))
    await counting_of(profile).run()
    assert await counted(profile) == (0, {}, {})


async def test_a_history_being_loaded_is_counted_little_by_little(profile: Profile) -> None:
    counting = counting_of(profile)
    orders = [record("purchase-recorded", purchase(f"pos:{n}")) for n in range(1250)]
    for batch in in_batches(orders, 500):
        await profile.take(*batch)
    made = []
    while some := await counting.run():
        made.append((some, await counted_at(profile)))
    assert made == [(100, None), (1000, None), (150, profile.clock.now())]
    assert (await counted(profile))[0] == 1250
