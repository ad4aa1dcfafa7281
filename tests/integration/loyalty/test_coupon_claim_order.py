"""Whatever order purchases that name coupons, their ends, merges and undos come in: the same coupons are used."""

import random
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop, open_shop
from tests.integration.loyalty.test_coupons import STAFF, done, one
from tests.integration.loyalty.test_merge_order import joinings, merges
from tests.kit.builders import NOW, about_order, line, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "loyalty"
ISSUED = NOW - timedelta(days=80)
"""Coupons are good for 30 days; one is voided after 15."""
WHOSE = {"own": "c-1", "bearer": "c-2", "voided": "c-1", "till": "c-1", "other": "c-3"}
_COUPONS = """
SELECT coupon_id, state, state_at, order_id, redeemed_by, due_at, voided_at FROM coupons ORDER BY coupon_id
"""
_CLAIMS = """
SELECT coupon_id, order_id, customer_id, occurred_at, stands, given, conflict FROM coupon_claims
ORDER BY coupon_id, order_id
"""
_STANDING = """
SELECT l.coupon_id, l.order_id, l.given, l.told, l.backfill, c.state, c.order_id AS used_for
FROM coupon_claims AS l JOIN coupons AS c USING (coupon_id) WHERE l.given
"""

orders = st.lists(
    st.tuples(
        st.sampled_from(["c-1", "c-1", "c-2", "c-3"]),
        st.sets(st.sampled_from(list(WHOSE)), min_size=1, max_size=3),
        st.integers(45, 79),
        st.sampled_from(
            ["kept", "kept", "kept", "loaded", "returned", "in part", "cancelled", "without", "with", "moved", "late"]
        ),
    ),
    min_size=1,
    max_size=6,
)


def facts(bought_: list[tuple[str, set[str], int, str]], codes: dict[str, str]) -> list[Record]:
    records = []
    for n, (customer, named, days_ago, fate) in enumerate(bought_):
        order = f"o-{n}"
        fields: dict[str, Any] = {"total": "200", "lines": [line(amount="100", quantity=2)]}
        fields |= {"days_ago": days_ago, "coupon_codes": [codes[one] for one in sorted(named)]}
        none = {**fields, "coupon_codes": ["SUMMER-10"]}
        loaded = {"backfill": True} if fate == "loaded" else {}
        data = about_order(order, customer_id=customer, days_ago=days_ago - 1)
        first = purchase(customer, order, **(none if fate == "with" else fields))
        records.append(record("purchase-recorded", first, **loaded))
        if fate in ("returned", "in part"):
            parts = [{"line_id": "1", "quantity": 2 if fate == "returned" else 1}]
            records.append(
                record("purchase-returned", returned(order, customer_id=customer, days_ago=days_ago / 2, lines=parts))
            )
        if fate == "cancelled":
            records.append(record("purchase-cancelled", data))
        if fate == "late":
            records.append(record("purchase-delivered", data))
        if fate in ("without", "with"):
            changed = none if fate == "without" else fields
            records.append(record("purchase-recorded", purchase(customer, order, order_version=2, **changed)))
        if fate == "moved":
            moved = {**fields, "days_ago": days_ago - 1}
            records.append(record("purchase-recorded", purchase("c-3", order, order_version=2, **moved)))
    return records


async def issued(shop: Shop) -> tuple[dict[str, str], dict[str, str]]:
    """The codes of the coupons, and what each is: one was voided, one used at a till for the first order."""
    async with shop.client(STAFF) as http:
        made = {name: await one(http, whose, key=name, bearer=name == "bearer") for name, whose in WHOSE.items()}
        await done(http, made["till"], "redeem", order_id="o-0")
        shop.clock.set(ISSUED + timedelta(days=15))
        await done(http, made["voided"], "void")
    shop.clock.set(NOW)
    return {name: coupon["code"] for name, coupon in made.items()}, {c["id"]: name for name, c in made.items()}


async def lived(
    shop: Shop, bought_: list[tuple[str, set[str], int, str]], made: tuple[int, ...], dice: random.Random, *,
    straight: bool,
) -> tuple[list[Any], list[Any]]:  # fmt: skip
    """The coupons and the claims on them in the end, after the records came in batches of random sizes."""
    codes, names = await issued(shop)
    records = facts(bought_, codes)
    if straight:
        records += joinings(tuple(fate % 2 for fate in made))
    else:
        records += joinings(made) + joinings(made)
        records += dice.choices(records, k=6)
        dice.shuffle(records)
    while records:
        await shop.take(*records[: (n := dice.choice((1, 2, 5)))])
        records = records[n:]
        if dice.random() < 0.3:
            await shop.job("coupons").run()
    await shop.job("coupons").run()
    published = await shop.published("coupon-redeemed")
    events = [(event["coupon_id"], event["order_id"]) for event in published]
    assert len(events) == len(set(events)), "each use is told once"
    async with shop.db.transaction() as tx:
        coupons = sorted((names[row["coupon_id"]], *list(row.values())[1:]) for row in await fetch(tx, _COUPONS))
        claims = sorted((names[row["coupon_id"]], *list(row.values())[1:]) for row in await fetch(tx, _CLAIMS))
        for row in await fetch(tx, _STANDING):
            assert (row["state"], row["used_for"]) == ("redeemed", row["order_id"]), "one order has it, and it alone"
            assert row["backfill"] or (row["coupon_id"], row["order_id"]) in events
    return coupons, claims


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(orders, merges, st.integers(0, 2**32))
async def test_any_order_and_any_duplicates_leave_the_same_coupons_used(
    databases: Databases, bought_: list[tuple[str, set[str], int, str]], made: tuple[int, ...], seed: int
) -> None:
    async with databases.fresh(SERVICE) as database, open_shop(database, ISSUED) as shop:
        expected = await lived(shop, bought_, made, random.Random(0), straight=True)
    async with databases.fresh(SERVICE) as database, open_shop(database, ISSUED) as shop:
        assert await lived(shop, bought_, made, random.Random(seed), straight=False) == expected
