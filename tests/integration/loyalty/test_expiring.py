"""Points near their expiry: told once for each day on which some expire, of what is free of them then."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from services.loyalty.expiring.application import begins
from services.loyalty.programmes.bodies import EXAMPLE
from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import NEW, OLD, bought, merged, parted
from tests.integration.loyalty.test_redemptions import back, erased
from tests.kit.builders import NOW

SERVICE = "loyalty"
DAY = timedelta(days=1)
C = "c-1"
TAIPEI = ZoneInfo("Asia/Taipei")


async def posted(shop: Shop, **changes: Any) -> None:
    changes = {"expiry": {"kind": "rolling", "months": 2}, "rules": [], "tiers": [], **changes}
    await shop.post(**{"expiry_warning_days": 10, **changes})


async def expires(shop: Shop, order: str) -> datetime:
    async with shop.db.transaction() as tx:
        (row,) = await fetch(tx, "SELECT expires_at FROM lots WHERE source_id = :order", order=order)
    at: datetime = row["expires_at"]
    return at


def told_at(expires_at: datetime, days: int = 10) -> datetime:
    """The midnight in the house with which the day begins that is so many days before the day of expiry."""
    return begins(expires_at.astimezone(TAIPEI).date() - days * DAY, TAIPEI)


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


async def told(shop: Shop) -> list[tuple[str, int, str, str]]:
    return [
        (one["customer_id"], one["points"], one["occurred_at"], one["expires_at"])
        for one in await shop.published("points-expiring")
    ]


async def redeem(shop: Shop, points: int) -> str:
    async with shop.client("loyalty:read loyalty:write") as staff:
        asked = {"customer_id": C, "points": points}
        answer = await staff.post("/redemptions", json=asked, headers={"Idempotency-Key": uuid4().hex})
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["id"]
    return id


async def roll_back(shop: Shop, redemption: str) -> None:
    async with shop.client("loyalty:read loyalty:write") as staff:
        answer = await staff.post(
            f"/redemptions/{redemption}/rollback", json={"reason": "?"}, headers={"Idempotency-Key": uuid4().hex}
        )
    assert answer.status_code == 200, answer.text


def order(name: str, total: str = "1000", days_ago: float = 0, customer: str = C) -> Record:
    return bought(customer, name, total, days_ago)


async def test_points_are_told_once_as_many_days_before_they_expire_as_the_version_says(shop: Shop) -> None:
    await posted(shop)
    await shop.take(order("o-1"))
    await shop.live_until(NOW + 20 * DAY)
    at = await expires(shop, "o-1")
    assert await shop.job("expiring").next_due() == told_at(at)
    await shop.live_until(told_at(at) - timedelta(seconds=1))
    assert await told(shop) == []
    await shop.live_until(told_at(at))
    assert await told(shop) == [(C, 100, text(told_at(at)), text(at))]
    assert await shop.job("expiring").next_due() == told_at(at) + DAY, "what comes late to a near day is told, too"
    await shop.live_until(at + 30 * DAY)
    assert len(await told(shop)) == 1
    assert await shop.job("expiring").next_due() is None


async def test_lots_of_one_day_of_the_house_are_told_together_and_days_apart(shop: Shop) -> None:
    await posted(shop)
    await shop.take(order("o-1", "1000", 1.02), order("o-2", "500", 1.01), order("o-3", "300"))
    await shop.live_until(NOW + 100 * DAY)
    first, third = await expires(shop, "o-1"), await expires(shop, "o-3")
    assert await told(shop) == [
        (C, 150, text(told_at(first)), text(first)),
        (C, 30, text(told_at(third)), text(third)),
    ]


async def test_only_what_is_free_of_them_is_told(shop: Shop) -> None:
    await posted(shop)
    await shop.take(order("o-1", "1000", 6), order("o-2", "500", 3))
    await shop.live_until(NOW + 20 * DAY)
    await redeem(shop, 70)
    await shop.take(back("o-1", "100", -20))
    await shop.live_until(NOW + 100 * DAY)
    assert [points for _, points, *_ in await told(shop)] == [20, 50]


async def test_points_that_were_used_or_given_back_meanwhile_are_not_told(shop: Shop) -> None:
    await posted(shop)
    await shop.take(order("o-1", "1000", 6), order("o-2", "500", 3))
    await shop.live_until(NOW + 20 * DAY)
    await redeem(shop, 100)
    await shop.take(back("o-2", "500", -20))
    assert await shop.job("expiring").next_due() is None
    await shop.live_until(NOW + 100 * DAY)
    assert await told(shop) == []


async def test_what_is_held_is_not_told_until_it_is_free_again(shop: Shop) -> None:
    await posted(shop)
    await shop.take(order("o-1"))
    await shop.live_until(NOW + 20 * DAY)
    at = await expires(shop, "o-1")
    await shop.live_until(told_at(at) - timedelta(hours=1))
    async with shop.client("loyalty:read loyalty:write") as staff:
        asked = {"customer_id": C, "points": 100}
        quote = await staff.post("/quotes", json=asked, headers={"Idempotency-Key": uuid4().hex})
        held = {"quote_id": quote.json()["id"], "ttl": 7200}
        assert (await staff.post("/holds", json=held, headers={"Idempotency-Key": uuid4().hex})).status_code == 201
    await shop.live_until(told_at(at) + timedelta(minutes=30))
    assert await told(shop) == []
    await shop.live_until(told_at(at) + 2 * DAY)
    assert [points for _, points, *_ in await told(shop)] == [100]


async def test_a_day_that_was_told_is_not_told_again_whatever_comes_to_expire_on_it(shop: Shop) -> None:
    await posted(shop)
    await shop.take(order("o-1"))
    await shop.live_until(NOW + 20 * DAY)
    redemption = await redeem(shop, 60)
    at = await expires(shop, "o-1")
    await shop.live_until(told_at(at))
    await roll_back(shop, redemption)
    await shop.live_until(at)
    assert [points for _, points, *_ in await told(shop)] == [40]


async def test_points_that_come_late_to_a_near_day_are_told_with_the_next_day(shop: Shop) -> None:
    await posted(shop)
    await shop.take(order("o-1"), order("o-2", "500", 0, "c-2"))
    await shop.live_until(NOW + 20 * DAY)
    redemption = await redeem(shop, 100)
    at = await expires(shop, "o-1")
    await shop.live_until(told_at(at) + 3 * DAY + timedelta(hours=2))
    await roll_back(shop, redemption)
    await shop.live_until(at)
    assert [(customer, points, on) for customer, points, on, _ in await told(shop)] == [
        ("c-2", 50, text(told_at(at))),
        (C, 100, text(told_at(at) + 4 * DAY)),
    ]


async def test_a_version_that_comes_to_warn_tells_at_once_of_what_is_near(shop: Shop) -> None:
    await shop.post(expiry={"kind": "rolling", "months": 2}, rules=[], tiers=[])
    await shop.take(order("o-1"))
    await shop.live_until(NOW + 55 * DAY)
    assert await told(shop) == []
    assert await shop.job("expiring").next_due() is None
    begins_at = NOW + 56 * DAY
    await posted(shop, active_from=begins_at.isoformat())
    assert await shop.job("expiring").next_due() == begins_at
    await shop.live_until(begins_at)
    assert await told(shop) == [(C, 100, text(begins_at), text(await expires(shop, "o-1")))]


async def test_a_version_that_says_nothing_of_it_tells_nothing(shop: Shop) -> None:
    await shop.post(expiry={"kind": "rolling", "months": 2}, rules=[], tiers=[])
    await shop.take(order("o-1"))
    await shop.live_until(NOW + 100 * DAY)
    assert await told(shop) == []


async def test_a_job_that_slept_over_the_day_tells_nothing_of_what_has_expired(shop: Shop) -> None:
    await posted(shop)
    await shop.take(order("o-1", "1000", 6), order("o-2", "500"))
    await shop.live_until(NOW + 21 * DAY)
    last = await expires(shop, "o-2")
    shop.clock.set(last - 5 * DAY)
    for job in shop.service.runner.jobs:
        await job.run()
    assert await told(shop) == [(C, 50, text(last - 5 * DAY), text(last))]


async def test_a_merged_person_is_told_once_of_all_his_ids_and_not_again_when_they_are_parted(shop: Shop) -> None:
    await posted(shop)
    await shop.take(order("o-1", "1000", 0.02, OLD), order("o-2", "500", 0.01, NEW), merged())
    await shop.live_until(NOW + 20 * DAY)
    at = await expires(shop, "o-1")
    await shop.live_until(told_at(at) + timedelta(hours=1))
    assert await told(shop) == [(NEW, 150, text(told_at(at)), text(at))]
    await shop.take(parted())
    await shop.live_until(at + DAY)
    assert len(await told(shop)) == 1


async def test_of_the_erased_nothing_is_told(shop: Shop) -> None:
    await posted(shop)
    await shop.take(order("o-1"), order("o-2", "500", 0, "c-2"))
    await shop.live_until(NOW + 20 * DAY)
    await shop.take(erased(C))
    await shop.live_until(NOW + 100 * DAY)
    assert [customer for customer, *_ in await told(shop)] == ["c-2"]


async def test_more_persons_than_fit_a_batch_are_each_told_once(shop: Shop) -> None:
    await posted(shop, expiry={"kind": "month-end", "months": 1})
    customers = [f"c-{number:04}" for number in range(1003)]
    await shop.take(*(order(f"o-{customer}", "100", 0, customer) for customer in customers))
    await shop.take(order("o-more", "500", 0, customers[0]))
    await shop.live_until(NOW + 20 * DAY)
    at = await expires(shop, "o-c-0000")
    shop.clock.set(told_at(at))
    assert await shop.job("expiring").run() == 1003
    said = {customer: points for customer, points, *_ in await told(shop)}
    assert said == {**dict.fromkeys(customers, 10), customers[0]: 60}
    assert len(await told(shop)) == 1003
    assert await shop.job("expiring").run() == 0


async def test_what_was_told_of_days_that_have_passed_is_not_kept(shop: Shop) -> None:
    await posted(shop)
    await shop.take(order("o-1", "1000", 20), order("o-2", "500"))
    await shop.live_until(NOW + 200 * DAY)
    last = (await expires(shop, "o-2")).astimezone(TAIPEI).date()
    async with shop.db.transaction() as tx:
        kept = [row["day"] for row in await fetch(tx, "SELECT day FROM expiry_warnings")]
    assert kept == [last], "the look that came after it is the last one that there was"


def test_a_day_begins_when_the_clocks_of_the_house_say_so() -> None:
    assert text(begins(date(2026, 11, 20), TAIPEI)) == "2026-11-19T16:00:00Z"
    assert text(begins(date(2026, 3, 29), ZoneInfo("Europe/Berlin"))) == "2026-03-28T23:00:00Z"
    assert text(begins(date(2026, 3, 30), ZoneInfo("Europe/Berlin"))) == "2026-03-29T22:00:00Z"


async def test_the_days_are_from_1_to_365_and_the_first_version_says_none(shop: Shop) -> None:
    async with shop.client("loyalty:read loyalty:write") as staff:
        first = (await staff.get("/programmes/current")).json()
        assert "expiry_warning_days" not in first
        body = {key: value for key, value in EXAMPLE.items() if key != "expiry_warning_days"} | {"currency": "TWD"}
        body["points"] = {**body["points"], "per": {"amount": "10", "currency": "TWD"}}
        for days, status in ((0, 422), (366, 422), (365, 201), (1, 201)):
            asked = {**body, "expiry_warning_days": days}
            answer = await staff.post("/programmes", json=asked, headers={"Idempotency-Key": uuid4().hex})
            assert answer.status_code == status, answer.text
            if status == 201:
                assert answer.json()["expiry_warning_days"] == days
            else:
                assert answer.json()["errors"][0]["pointer"] == "/expiry_warning_days"
