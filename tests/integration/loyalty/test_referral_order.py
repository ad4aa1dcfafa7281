"""Whatever order purchases with codes, returns, merges and undos come in, and however often: the same referrals."""

import asyncio
import random
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop, open_shop
from tests.integration.loyalty.test_merge_order import joinings
from tests.integration.loyalty.test_merges import bought
from tests.integration.loyalty.test_referrals import RULE, back, brought, members, points, whole
from tests.kit.builders import NOW, about_order, at, money, record
from tests.kit.databases import Databases

SERVICE = "loyalty"
PERSONS = ["c-1", "c-2", "c-3", "c-4"]
END = NOW + timedelta(days=40)
_FOUND = """
SELECT order_id, referral_id, referee_id, referrer_id, ordered_at, qualifies_at, programme_version, state, reason,
       granted, referrer_points, referee_points, due_at
FROM referrals ORDER BY order_id
"""

purchases = st.lists(
    st.tuples(
        st.sampled_from(PERSONS),
        st.sampled_from([*PERSONS, "nobody", ""]),
        st.integers(1, 60),
        st.sampled_from(["kept", "kept", "kept", "returned", "in part", "cancelled", "moved", "late"]),
    ),
    min_size=2,
    max_size=9,
)
merges = st.tuples(*[st.integers(0, 2)] * 3)


def facts(bought_: list[tuple[str, str, int, str]], codes: dict[str, str]) -> list[Record]:
    records = []
    for n, (customer, whose, days_ago, fate) in enumerate(bought_):
        order = f"o-{n}"
        if not whose:
            records.append(bought(customer, order, "200", days_ago))
            continue
        code = codes.get(whose, "23456-789AB-CDEFG")
        records.append(brought(customer, order, code, days_ago))
        if fate in ("returned", "in part"):
            records.append(back(order, customer, days_ago / 2, quantity=2 if fate == "returned" else 1))
        if fate == "late":
            records.append(back(order, customer, max(0, days_ago - 20)))
        if fate == "cancelled":
            about = about_order(order, customer_id=customer, days_ago=days_ago / 2)
            records.append(record("purchase-cancelled", about))
        if fate == "moved":
            records.append(brought("c-3", order, codes["c-1"], days_ago + 1, order_version=2))
    return records


async def lived(
    shop: Shop, bought_: list[tuple[str, str, int, str]], made: tuple[int, ...], dice: random.Random, *, straight: bool
) -> tuple[list[tuple[Any, ...]], list[int]]:
    """The referrals and everybody's points in the end, after the records came in batches of random sizes."""
    rule = {**RULE, "limit": {"count": 1, "per": "month"}}
    await shop.post(active_from=at(500), rules=[rule], points={"award": 0, "per": money("10.00")})
    records = facts(bought_, await members(shop, *PERSONS))
    if straight:
        records += joinings(tuple(fate % 2 for fate in made))
    else:
        records += joinings(made) + joinings(made)
        records += dice.choices(records, k=6)
        dice.shuffle(records)
    for days in range(0, 40, 10):
        size = len(records) if straight or days == 30 else dice.randint(0, len(records))
        batch, records = records[:size], records[size:]
        while batch:
            await shop.take(*batch[: (n := dice.choice((1, 2, 5)))])
            batch = batch[n:]
            if dice.random() < 0.5:
                await shop.job("referrals").run()
        await shop.live_until(NOW + timedelta(days=days))
    await shop.live_until(END)
    await whole(shop)
    async with shop.db.transaction() as tx:
        found = [tuple(row.values()) for row in await fetch(tx, _FOUND)]
    return found, await points(shop, *PERSONS)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(purchases, merges, st.integers(0, 2**32))
async def test_any_order_and_any_duplicates_lead_to_the_same_referrals(
    databases: Databases, bought_: list[tuple[str, str, int, str]], made: tuple[int, ...], seed: int
) -> None:
    async with databases.fresh(SERVICE) as database, open_shop(database) as shop:
        expected = await lived(shop, bought_, made, random.Random(0), straight=True)
    async with databases.fresh(SERVICE) as database, open_shop(database) as shop:
        assert await lived(shop, bought_, made, random.Random(seed), straight=False) == expected


async def test_judging_and_buying_at_once_wait_for_each_other_and_miss_nothing(shop: Shop) -> None:
    await shop.post(active_from=at(500), rules=[RULE], points={"award": 0, "per": money("10.00")})
    code = (await members(shop, "c-1"))["c-1"]
    ids = [f"d-{n:02}" for n in range(40)]
    await shop.take(*(brought(one, f"o-{one}", code, 20) for one in ids))
    gone = [back(f"o-{one}", one, 10) for one in ids[::2]]
    job = shop.job("referrals")
    await asyncio.gather(job.run(), *(shop.take(*gone[n::4][::-1]) for n in range(4)), shop.job("sweep").run())
    await job.run()
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT state, count(*) AS n FROM referrals GROUP BY state ORDER BY state")
    assert {row["state"]: row["n"] for row in rows} == {"qualified": 20, "refused": 20}
    assert await points(shop, "c-1", *ids) == [2000, *[0, 50] * 20]
    await whole(shop)
