"""Tiers by every measure through the whole service, and warnings before they fall."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.loyalty.ledger import application as ledger
from services.loyalty.tiers.application import spends_of
from shared.db import fetch
from tests.integration.loyalty.shop import Shop, open_shop
from tests.integration.loyalty.test_merges import NEW, OLD, bought, merged
from tests.kit.builders import NOW, about_order, money, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "loyalty"
DAY = timedelta(days=1)


def tier(name: str = "silver", **qualify: Any) -> dict[str, Any]:
    return {"name": name, "qualify": qualify}


async def put(shop: Shop, **changes: Any) -> None:
    """A version in force, applied to everybody."""
    await shop.post(**changes)
    await shop.job("tiers").run()


def sale(order_id: str, days_ago: float, total: str = "1000", customer: str = "c-1") -> Any:
    return record("purchase-recorded", purchase(customer, order_id, total=total, days_ago=days_ago))


async def held(shop: Shop, customer: str) -> dict[str, Any]:
    """The tier held now, since when and until when."""
    async with shop.client() as http:
        told = (await http.get(f"/accounts/{customer}/privileges")).json()
    return {name: told[name] for name in ("tier", "since", "falls_at")}


async def told(shop: Shop) -> list[tuple[Any, ...]]:
    """Direction, from, to, when and of when, of everything said of tiers, in its order."""
    return [
        (c["direction"], c.get("from_tier"), c.get("to_tier"), datetime.fromisoformat(c["occurred_at"]), c.get("at"))
        for c in await shop.published("tier-changed")
    ]


@pytest.mark.parametrize(
    "qualify",
    [
        {"orders": 3, "window_days": 365},
        {"points": 300, "window_days": 365},
        {"spend": "3000", "orders": 3, "points": 300, "calendar": "year"},
    ],
)
async def test_the_order_that_makes_it_full_raises_the_tier(shop: Shop, qualify: dict[str, Any]) -> None:
    await put(shop, tiers=[tier(**qualify)], rules=[])
    await shop.take(sale("o-1", 30), sale("o-2", 20))
    assert (await held(shop, "c-1"))["tier"] is None
    await shop.take(sale("o-3", 10))
    assert (await held(shop, "c-1"))["tier"] == "silver"
    assert [step[:4] for step in await told(shop)] == [("up", None, "silver", NOW - 10 * DAY)]


async def test_a_late_order_and_one_by_one_lead_to_the_same_tier_as_all_at_once(shop: Shop) -> None:
    await put(shop, tiers=[tier(points=300, orders=3, window_days=365)], rules=[])
    await shop.take(sale("o-3", 10))
    await shop.take(sale("o-1", 30))
    await shop.take(sale("o-2", 20), sale("o-9", 5, customer="c-2"))
    assert (await held(shop, "c-1"))["tier"] == "silver"
    assert [step[:3] for step in await told(shop)] == [("up", None, "silver")]


async def test_tenure_raises_a_tier_by_time_alone_at_the_instant_it_is_reached(shop: Shop) -> None:
    await put(shop, tiers=[tier(tenure_days=100)])
    await shop.take(sale("o-1", 30))
    due = NOW + 70 * DAY
    assert await shop.job("tiers").next_due() == due
    await shop.live_until(due)
    assert await told(shop) == [("up", None, "silver", due, None)]
    await shop.live_until(due + 3000 * DAY)
    assert len(await told(shop)) == 1


async def test_a_calendar_tier_ends_at_the_year_s_end_of_the_house(shop: Shop) -> None:
    await put(shop, tiers=[tier(spend="1000", calendar="year")], tier_grace_days=0)
    await shop.take(sale("o-1", 30))
    falls = datetime.fromisoformat("2027-01-01T00:00:00+08:00")
    assert await shop.job("tiers").next_due() == falls
    await shop.live_until(falls)
    assert [step[:4] for step in await told(shop)][-1] == ("down", "silver", None, falls)


async def test_a_fall_is_told_as_many_days_before_as_the_version_says_and_once(shop: Shop) -> None:
    await put(shop, tiers=[tier(spend="1000", window_days=365)], tier_grace_days=30, tier_warning_days=20)
    await shop.take(sale("o-1", 10))
    falls = NOW + 385 * DAY
    assert await shop.job("tiers").next_due() == falls - 20 * DAY
    await shop.live_until(falls - 20 * DAY - timedelta(seconds=1))
    assert [step[0] for step in await told(shop)] == ["up"]
    await shop.live_until(falls - 20 * DAY)
    assert await shop.job("tiers").next_due() == falls
    await shop.live_until(falls + DAY)
    assert await told(shop) == [
        ("up", None, "silver", NOW - 10 * DAY, None),
        ("warning", "silver", None, falls - 20 * DAY, falls.isoformat().replace("+00:00", "Z")),
        ("down", "silver", None, falls, None),
    ]
    assert await shop.job("tiers").next_due() is None


async def test_buying_after_the_warning_puts_the_fall_off_and_it_is_warned_of_anew(shop: Shop) -> None:
    await put(shop, tiers=[tier(spend="1000", window_days=100)], tier_grace_days=0, tier_warning_days=20)
    await shop.take(sale("o-1", 0))
    await shop.live_until(NOW + 90 * DAY)
    await shop.take(sale("o-2", -90))
    await shop.live_until(NOW + 189 * DAY)
    assert [(step[0], step[3]) for step in await told(shop)] == [
        ("up", NOW),
        ("warning", NOW + 80 * DAY),
        ("warning", NOW + 170 * DAY),
    ]
    assert await shop.job("tiers").next_due() == NOW + 190 * DAY


async def test_a_fall_that_moves_away_and_back_to_the_same_day_is_not_told_again(shop: Shop) -> None:
    await put(shop, tiers=[tier(spend="1000", window_days=100)], tier_grace_days=0, tier_warning_days=20)
    await shop.take(sale("o-1", 0))
    await shop.live_until(NOW + 85 * DAY)
    await shop.take(sale("o-2", -85))
    await shop.take(record("purchase-returned", returned("o-2", customer_id="c-1", days_ago=-85, amount=money("1000"))))
    assert await shop.job("tiers").next_due() == NOW + 100 * DAY
    await shop.live_until(NOW + 101 * DAY)
    assert [(step[0], step[3]) for step in await told(shop)] == [
        ("up", NOW),
        ("warning", NOW + 80 * DAY),
        ("down", NOW + 100 * DAY),
    ]


async def test_a_return_that_brings_the_fall_near_is_told_at_once(shop: Shop) -> None:
    await put(shop, tiers=[tier(spend="1000", window_days=100)], tier_grace_days=0, tier_warning_days=20)
    await shop.take(sale("o-1", 95), sale("o-2", 1))
    assert [step[0] for step in await told(shop)] == ["up"]
    await shop.take(record("purchase-returned", returned("o-2", customer_id="c-1", days_ago=0.5, amount=money("1000"))))
    assert (await told(shop))[1:] == [
        ("warning", "silver", None, NOW, (NOW + 5 * DAY).isoformat().replace("+00:00", "Z"))
    ]


async def test_a_job_that_slept_over_a_fall_warns_of_it_no_more(shop: Shop) -> None:
    await put(shop, tiers=[tier(spend="1000", window_days=100)], tier_grace_days=0, tier_warning_days=20)
    await shop.take(sale("o-1", 0))
    shop.clock.set(NOW + 101 * DAY)
    await shop.job("tiers").run()
    assert [(step[0], step[3]) for step in await told(shop)] == [("up", NOW), ("down", NOW + 100 * DAY)]


async def test_a_merged_person_is_warned_once_by_what_all_his_ids_bought(shop: Shop) -> None:
    await put(shop, tiers=[tier(spend="1000", window_days=100)], tier_grace_days=0, tier_warning_days=20)
    await shop.take(bought(OLD, "o-1", "1000", 70), bought(NEW, "o-2", "1000", 10), merged())
    await shop.live_until(NOW + 89 * DAY)
    warned = [c for c in await shop.published("tier-changed") if c["direction"] == "warning"]
    assert [(c["customer_id"], c["occurred_at"]) for c in warned] == [(NEW, (NOW + 70 * DAY).isoformat()[:-6] + "Z")]


async def test_a_version_without_warning_days_tells_of_no_fall_before_it(shop: Shop) -> None:
    await put(shop, tiers=[tier(spend="1000", window_days=100)], tier_grace_days=0)
    await shop.take(sale("o-1", 0))
    await shop.live_until(NOW + 100 * DAY)
    assert [step[0] for step in await told(shop)] == ["up", "down"]


async def test_merged_ids_are_counted_together_by_every_measure(shop: Shop) -> None:
    await put(shop, tiers=[tier(orders=2, points=300, window_days=365)], rules=[])
    await shop.take(bought(OLD, "o-1", "2000", 40), bought(NEW, "o-2", "1000", 3))
    assert (await held(shop, NEW))["tier"] is None
    await shop.take(merged())
    assert (await held(shop, NEW))["tier"] == "silver"
    assert [step[:3] for step in await told(shop)] == [("up", None, "silver")]


async def test_points_that_no_order_earned_and_orders_of_nothing_raise_no_tier(shop: Shop) -> None:
    await put(shop, tiers=[tier(orders=1, window_days=365)], rules=[])
    free = purchase("c-1", "o-1", total="0", days_ago=3)
    await shop.take(record("purchase-recorded", free))
    assert (await held(shop, "c-1"))["tier"] is None
    async with shop.db.transaction() as tx:
        programme = (await shop.programmes.known(tx))[-1]
        accounts = await ledger.open_accounts(tx, ["c-1"], NOW)
        least = {account.account_id: 0 for account in accounts.values()}
        assert await spends_of(tx, least, [programme], NOW - 365 * DAY) == {}


QUALIFY: list[dict[str, Any]] = [
    {"spend": "1500", "window_days": 365},
    {"points": 150, "window_days": 365},
    {"orders": 2, "calendar": "year"},
    {"tenure_days": 5},
    {"spend": "1000", "orders": 1, "tenure_days": 1, "window_days": 30},
]
kept = st.lists(st.tuples(st.integers(10, 200), st.sampled_from(["480", "990", "1200"])), max_size=3)
undone = st.lists(st.tuples(st.integers(1, 250), st.booleans()), min_size=1, max_size=3)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(QUALIFY), kept, undone, st.integers(0, 2**32))
async def test_buying_and_giving_back_raises_no_tier(
    databases: Databases,
    qualify: dict[str, Any],
    kept: list[tuple[int, str]],
    undone: list[tuple[int, bool]],
    seed: int,
) -> None:
    records = []
    for number, (days_ago, total) in enumerate(kept):
        records += [sale(f"{customer}-{number}", days_ago, total, customer) for customer in ("honest", "other")]
    for number, (days_ago, cancelled) in enumerate(undone):
        order_id, since = f"back-{number}", days_ago / 2
        records.append(sale(order_id, days_ago, "9000", "other"))
        about = about_order(order_id, customer_id="other", days_ago=since)
        back = returned(order_id, customer_id="other", days_ago=since)
        records.append(record("purchase-cancelled", about) if cancelled else record("purchase-returned", back))
    random.Random(seed).shuffle(records)
    async with databases.fresh(SERVICE) as database, open_shop(database) as shop:
        await put(shop, tiers=[tier("bronze", orders=1, window_days=90), tier(**qualify)], rules=[])
        for one in records:
            await shop.take(one)
        honest = await held(shop, "honest") if kept else {"tier": None, "since": None, "falls_at": None}
        assert await held(shop, "other") == honest
        await shop.live_until(NOW + 400 * DAY)
        last = {c["customer_id"]: c.get("to_tier") for c in await shop.published("tier-changed")}
        assert last.get("other") == last.get("honest")


facts_ = st.lists(
    st.tuples(
        st.sampled_from(["c-1", "c-2"]),
        st.sampled_from(["480", "990", "1990"]),
        st.integers(1, 300),
        st.sampled_from(["kept", "kept", "half back", "returned", "cancelled"]),
    ),
    min_size=1,
    max_size=7,
)


async def lived(shop: Shop, qualify: dict[str, Any], records: list[Any], rng: random.Random) -> tuple[Any, ...]:
    """The hash of everything, and what is known of tiers, after these facts in batches of any size."""
    low = {**tier("bronze", orders=2, points=40, window_days=120), "multiply": "1.5"}
    await put(shop, tiers=[low, {**tier(**qualify), "multiply": "3"}], rules=[], tier_warning_days=60)
    rest = list(records)
    while rest:
        size = rng.randint(1, 4)
        await shop.take(*rest[:size])
        rest = rest[size:]
    await shop.job("tiers").run()
    async with shop.db.transaction() as tx:
        query = "SELECT customer_id, tier, due_at FROM tiers JOIN accounts USING (account_id) ORDER BY customer_id"
        rows = await fetch(tx, query)
    known = [tuple(row) for row in rows if row["tier"] or row["due_at"]]
    return await shop.state_hash(), known, [await held(shop, customer) for customer in ("c-1", "c-2")]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(QUALIFY), facts_, st.integers(0, 2**32))
async def test_any_order_of_the_facts_leads_to_the_same_tiers_and_points_by_every_measure(
    databases: Databases, qualify: dict[str, Any], drawn: list[tuple[str, str, int, str]], seed: int
) -> None:
    rng = random.Random(seed)
    records = [sale("o-1-first", 310, "10", "c-1"), sale("o-2-first", 310, "10", "c-2")]
    for number, (customer, total, days_ago, fate) in enumerate(drawn):
        order_id, since = f"o-{number}", days_ago / 2
        records.append(sale(order_id, days_ago, total, customer))
        if fate == "cancelled":
            about = about_order(order_id, customer_id=customer, days_ago=since)
            records.append(record("purchase-cancelled", about))
        elif fate != "kept":
            part = {"amount": money("200")} if fate == "half back" else {}
            back = returned(order_id, customer_id=customer, days_ago=since, **part)
            records.append(record("purchase-returned", back))
    async with databases.fresh(SERVICE) as database, open_shop(database) as shop:
        expected = await lived(shop, qualify, records, random.Random(0))
    shuffled = records + rng.choices(records, k=4)
    rng.shuffle(shuffled)
    async with databases.fresh(SERVICE) as database, open_shop(database) as shop:
        assert await lived(shop, qualify, shuffled, rng) == expected
