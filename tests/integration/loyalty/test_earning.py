"""Orders become points on a real ledger: in any order, once, and back at the rate they were earned."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest

from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop, open_shop
from tests.kit.builders import NOW, about_order, at, line, money, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "loyalty"


def bought(customer: str, order: str, total: str = "100", days_ago: float = 0, **fields: Any) -> Record:
    return record("purchase-recorded", purchase(customer, order, total=total, days_ago=days_ago, **fields), id=order)


def tea(total: str) -> list[dict[str, object]]:
    return [line(amount=total, category="tea")]


async def test_points_are_pending_then_available_then_gone(shop: Shop) -> None:
    await shop.take(bought("c-1", "o-1", "1000", days_ago=1))
    assert (await shop.balance("c-1")).pending == 100
    assert (await shop.balance("c-1", NOW + timedelta(days=13))).available == 100
    later = await shop.balance("c-1", NOW + timedelta(days=365))
    assert (later.available, later.pending, later.lifetime_earned) == (0, 0, 100)


async def test_the_sweeper_writes_down_what_is_true_and_announces_an_expiry_once(shop: Shop) -> None:
    await shop.take(bought("c-1", "o-1", "1000"), bought("c-1", "o-2", "500"))
    assert await shop.job("sweep").next_due() == NOW + timedelta(days=14)
    await shop.live_until(NOW + timedelta(days=400))
    assert await shop.job("sweep").next_due() is None
    expired = await shop.published("points-expired")
    assert [event["points"] for event in expired] == [150]
    assert expired[0]["occurred_at"] == "2027-11-20T04:00:00Z"
    proof = await shop.verified()
    assert proof.broken is None
    assert proof.entries == 6
    assert {book: points for book, points in proof.books.items() if points} == {"expired": 150, "issued": -150}


async def test_a_delivery_starts_the_return_window_anew(shop: Shop) -> None:
    await shop.take(bought("c-1", "o-1", "1000", days_ago=20))
    assert (await shop.balance("c-1")).available == 100
    await shop.take(record("purchase-delivered", about_order("o-1", customer_id="c-1", days_ago=5)))
    assert (await shop.balance("c-1")).pending == 100
    assert (await shop.verified()).broken is None
    await shop.live_until(NOW + timedelta(days=2))
    assert (await shop.balance("c-1")).available == 100
    assert (await shop.verified()).books["available"] == 100


async def test_a_return_comes_back_at_the_rate_earned_when_the_rule_was_doubled_or_deleted_since(shop: Shop) -> None:
    await shop.take(bought("c-1", "o-1", "500", days_ago=2), bought("c-2", "o-2", "500", days_ago=2))
    long_ago = (NOW - timedelta(days=100)).isoformat()
    await shop.post(active_from=long_ago, points={"award": 2, "per": {"amount": "10.00", "currency": "TWD"}})
    await shop.take(record("purchase-returned", returned("o-1", customer_id="c-1")))
    await shop.post(active_from=long_ago, points={"award": 0, "per": {"amount": "10.00", "currency": "TWD"}})
    await shop.take(record("purchase-returned", returned("o-2", customer_id="c-2")))
    reversals = await shop.published("points-reversed")
    assert [(event["customer_id"], event["points"], event["programme_version"]) for event in reversals] == [
        ("c-1", 50, 1),
        ("c-2", 50, 1),
    ]
    assert (await shop.balance("c-1")).lifetime_earned == 0


async def test_a_new_version_judges_what_happens_from_its_start(shop: Shop) -> None:
    version = await shop.post(
        active_from=(NOW - timedelta(days=1)).isoformat(),
        points={"award": 2, "per": {"amount": "10.00", "currency": "TWD"}},
    )
    await shop.take(bought("c-1", "o-1", days_ago=2), bought("c-1", "o-2", days_ago=0.5))
    earned = await shop.published("points-earned")
    assert [(event["points"], event["programme_version"]) for event in earned] == [(10, 1), (20, version)]


async def test_category_points_are_capped_by_month(shop: Shop) -> None:
    await shop.take(bought("c-1", "o-1", "4000", days_ago=10, lines=tea("4000")))
    await shop.take(bought("c-1", "o-2", "4000", days_ago=5, lines=tea("4000")))
    await shop.take(bought("c-1", "o-3", "4000", days_ago=0, lines=tea("4000")))
    await shop.take(bought("c-1", "o-4", "100", days_ago=40, lines=tea("100")))
    assert (await shop.balance("c-1")).lifetime_earned == 3 * 400 + 500 + 20


async def test_a_return_may_come_before_its_purchase(shop: Shop) -> None:
    await shop.take(record("purchase-returned", returned("o-1", customer_id="c-1")))
    assert (await shop.balance("c-1")).lifetime_earned == 0
    await shop.take(bought("c-1", "o-1", days_ago=1), bought("c-1", "o-2", days_ago=1))
    assert (await shop.balance("c-1")).lifetime_earned == 10


async def test_an_order_of_a_higher_version_may_move_to_another_customer(shop: Shop) -> None:
    await shop.take(bought("c-1", "o-1", "1000", days_ago=1))
    moved = purchase("c-2", "o-1", total="600", days_ago=1, order_version=2)
    await shop.take(record("purchase-recorded", moved))
    assert (await shop.balance("c-1")).lifetime_earned == 0
    assert (await shop.balance("c-2")).pending == 60
    proof = await shop.verified()
    assert (proof.broken, proof.books["pending"], proof.books["reversed"]) == (None, 60, 100)


async def test_history_earns_nothing_unless_the_programme_says_so(shop: Shop) -> None:
    old = purchase("c-1", "o-1", total="1000", days_ago=3)
    await shop.take(record("purchase-recorded", old, backfill=True))
    assert (await shop.balance("c-1")).lifetime_earned == 0
    await shop.post(active_from=(NOW - timedelta(days=2)).isoformat(), backfill_earns=True)
    recent = purchase("c-1", "o-2", total="1000", days_ago=1)
    await shop.take(record("purchase-recorded", recent, backfill=True))
    assert (await shop.balance("c-1")).lifetime_earned == 100


async def test_money_of_another_currency_is_kept_and_earns_nothing(shop: Shop) -> None:
    foreign = purchase("c-1", "o-1", total="1000", currency="CNY")
    await shop.take(record("purchase-recorded", foreign))
    assert (await shop.balance("c-1")).lifetime_earned == 0


async def test_concurrent_batches_on_one_new_customer_lose_nothing(shop: Shop) -> None:
    batches = [[bought("c-1", f"o-{n}-{k}", "10", days_ago=n / 7 + k / 11) for k in range(3)] for n in range(12)]
    await asyncio.gather(*(shop.take(*batch) for batch in batches))
    assert (await shop.balance("c-1")).lifetime_earned == 36
    proof = await shop.verified()
    assert (proof.broken, proof.books["issued"]) == (None, -36)


def history() -> list[Record]:
    """Three customers' orders with everything that may happen to them, near month ends and tier thresholds."""
    rng = random.Random(20)
    records = []
    for n in range(60):
        customer, order, days_ago = f"c-{n % 3}", f"o-{n}", rng.uniform(0, 400)
        total = rng.choice(("95", "480", "1990", "3500"))
        lines = [line(amount=total, quantity=3, category=rng.choice(("tea", "cups")))]
        records.append(bought(customer, order, total, days_ago, lines=lines))
        since = rng.uniform(0, days_ago)
        what = n % 6
        if what in (1, 2):
            records.append(record("purchase-returned", returned(order, customer_id=customer, days_ago=since)))
        if what == 2:
            back = {"amount": "20", "currency": "TWD"}
            records.append(record("purchase-returned", returned(order, customer_id=customer, days_ago=0, amount=back)))
        if what == 3:
            other = purchase(f"c-{(n + 1) % 3}", order, total="700", days_ago=days_ago, order_version=2, lines=lines)
            records.append(record("purchase-recorded", other))
        if what == 4:
            records.append(record("purchase-delivered", about_order(order, customer_id=customer, days_ago=since)))
        if n % 12 == 5:
            records.append(record("purchase-cancelled", about_order(order, customer_id=customer, days_ago=since)))
    return records


async def lived(shop: Shop, records: list[Record], rng: random.Random) -> str:
    """The state after the records came in batches of random sizes, with the sweeper at work in between."""
    tiers = [
        {"name": "silver", "qualify": {"spend": "5000.00", "window_days": 180}, "multiply": "1.1"},
        {"name": "gold", "qualify": {"spend": "20000.00", "window_days": 365}, "multiply": "1.5"},
    ]
    welcome = {"id": "first-order", "order": 20, "on": "first-purchase", "effect": {"bonus": 100}}
    await shop.post(active_from=(NOW - timedelta(days=300)).isoformat(), tiers=tiers, tier_grace_days=20)
    await shop.post(active_from=(NOW - timedelta(days=200)).isoformat(), tiers=tiers, rules=[welcome])
    while records:
        size = rng.choice((1, 2, 7, 40))
        batch, records = records[:size], records[size:]
        await shop.take(*batch)
        if rng.random() < 0.1:
            await shop.job("sweep").run()
    proof = await shop.verified()
    assert proof.broken is None
    assert sum(proof.books.values()) == 0
    return await shop.state_hash()


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_and_duplication_of_events_gives_one_state(databases: Databases, seed: int) -> None:
    rng = random.Random(seed)
    records = history()
    shuffled = records + rng.choices(records, k=40)
    rng.shuffle(shuffled)
    async with databases.fresh(SERVICE) as made, open_shop(made) as straight:
        expected = await lived(straight, records, rng)
    async with databases.fresh(SERVICE) as made, open_shop(made) as crooked:
        assert await lived(crooked, shuffled, rng) == expected


async def test_the_events_add_up_to_what_the_customer_has_whatever_becomes_of_expired_points(shop: Shop) -> None:
    expired = purchase(order_id="o", total="1000", days_ago=380)
    await shop.take(record("purchase-recorded", expired))
    await shop.live_until(NOW)
    assert await _told(shop) == 0
    await shop.take(record("purchase-recorded", {**expired, "order_version": 2, "total": money("2000")}))
    assert await _told(shop) == 0
    await shop.take(record("purchase-returned", returned("o", amount=money("500"))))
    assert await _told(shop) == 0
    await shop.take(record("purchase-recorded", {**expired, "order_version": 3, "occurred_at": at(20)}))
    assert await _told(shop) == (await shop.balance("pos:1")).available == 50
    assert (await shop.verified()).broken is None


async def _told(shop: Shop) -> int:
    """What who only reads the events takes the balance to be."""
    told = await shop.published("points-earned", "points-reversed", "points-expired")
    return sum(data["points"] if data["topic"] == "points-earned" else -data["points"] for data in told)
