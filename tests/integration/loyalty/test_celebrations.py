"""Birthdays and anniversaries give on the day, once a year, to whoever keeps them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.contracts.topics import TOPICS
from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import merged
from tests.integration.loyalty.test_occasions import derived, rule
from tests.integration.loyalty.test_redemptions import C, bought, whole
from tests.kit.builders import NOW, at, record

SERVICE = "loyalty"
EXAMPLES = Path("shared/contracts/examples")
DAY = timedelta(days=1)
YEAR = 365 * DAY


def file(
    month: int = 12, day: int = 1, customer: str = C, *, sequence: int = 1, topic: str = "customer-registered",
    lunar: bool = False, leap: bool = False, **more: Any,
) -> Record:  # fmt: skip
    birthday: dict[str, Any] = {"month": month, "day": day, "calendar": "lunar" if lunar else "solar"}
    data = {**derived(customer, sequence=sequence), "birthday": birthday | {"leap_month": leap}, **more}
    return record(topic, data, id=f"{customer}:{sequence}")


def taipei(year: int, month: int, day: int) -> datetime:
    """The midnight with which a day begins there."""
    return datetime(year, month, day, tzinfo=UTC) - timedelta(hours=8)


async def given_on(shop: Shop) -> list[datetime]:
    granted = await shop.published("points-granted")
    return [datetime.fromisoformat(one["occurred_at"]) for one in granted]


async def test_a_birthday_gives_at_midnight_of_the_house_every_year_once(shop: Shop) -> None:
    await shop.post(rules=[rule("birthday", 200)])
    await shop.take(file(12, 1))
    assert await shop.job("celebrations").next_due() == taipei(2026, 12, 1)
    await shop.live_until(NOW + 2 * YEAR)
    assert await given_on(shop) == [taipei(2026, 12, 1), taipei(2027, 12, 1)][:2]
    assert await shop.job("celebrations").next_due() == taipei(2028, 12, 1)
    granted = (await shop.published("points-granted"))[0]
    assert (granted["kind"], granted["points"], granted["expires_at"]) == ("occasion", 200, "2027-11-30T16:00:00Z")
    await whole(shop)


async def test_a_lunar_birthday_gives_where_the_moon_has_it(shop: Shop) -> None:
    await shop.post(rules=[rule("birthday")])
    await shop.take(file(8, 15, lunar=True), file(6, 1, "c-leap", lunar=True, leap=True))
    await shop.live_until(NOW + YEAR)
    # 2027 has no leap month: the sixth itself.
    assert await given_on(shop) == [taipei(2027, 7, 4), taipei(2027, 9, 15)]


async def test_the_day_begins_where_the_customer_lives(shop: Shop) -> None:
    await shop.post(rules=[rule("birthday")])
    await shop.take(file(12, 1, time_zone="America/New_York"), file(12, 1, "c-2", time_zone="Nowhere/At-All"))
    await shop.live_until(NOW + 30 * DAY)
    assert await given_on(shop) == [taipei(2026, 12, 1), datetime(2026, 12, 1, 5, tzinfo=UTC)]


async def test_a_birthday_that_is_told_on_the_day_is_still_given_on(shop: Shop) -> None:
    await shop.post(rules=[rule("birthday")])
    await shop.take(file(11, 20), file(11, 19, "c-2"))
    await shop.live_until(NOW + DAY)
    assert await given_on(shop) == [taipei(2026, 11, 20)]


async def test_a_changed_birthday_gives_no_second_time_in_the_year(shop: Shop) -> None:
    await shop.post(rules=[rule("birthday")])
    await shop.take(file(11, 20))
    await shop.job("celebrations").run()
    await shop.take(file(12, 1, sequence=2, topic="customer-changed"))
    await shop.live_until(NOW + 20 * DAY)
    await shop.take(file(11, 20, sequence=3, topic="customer-changed", lunar=True))
    await shop.live_until(NOW + YEAR + 60 * DAY)
    assert [one.year for one in await given_on(shop)] == [2026, 2027]
    await whole(shop)


async def test_days_missed_while_the_house_was_down_are_made_up_for_once(shop: Shop) -> None:
    await shop.post(rules=[rule("birthday")])
    await shop.take(file(12, 1), file(12, 2, "c-2"), file(3, 3, "c-3"))
    shop.clock.set(NOW + 40 * DAY)
    # What else changed of the file meanwhile doesn't take the missed day away.
    await shop.take(file(12, 1, sequence=2, topic="customer-changed", locale="en"))
    for _ in range(2):
        await shop.job("celebrations").run()
    assert sorted(await given_on(shop)) == [taipei(2026, 12, 1), taipei(2026, 12, 2)]
    shop.clock.set(NOW + 40 * DAY + 3 * YEAR)
    await shop.job("celebrations").run()
    assert sorted(await given_on(shop))[2:] == [taipei(2029, 3, 3), taipei(2029, 12, 1), taipei(2029, 12, 2)]
    await whole(shop)


async def test_what_was_posted_later_doesn_t_reach_back_to_days_that_passed(shop: Shop) -> None:
    await shop.take(file(12, 1))
    shop.clock.set(NOW + 40 * DAY)
    await shop.post(rules=[rule("birthday")])
    await shop.job("celebrations").run()
    assert await given_on(shop) == []
    assert await shop.job("celebrations").next_due() == taipei(2027, 12, 1)


async def test_without_such_a_rule_the_clock_stops_at_no_birthday(shop: Shop) -> None:
    await shop.take(file(12, 1))
    assert await shop.job("celebrations").next_due() is None


async def test_of_a_restricted_file_nothing_is_used(shop: Shop) -> None:
    await shop.post(rules=[rule("birthday"), rule("anniversary")])
    await shop.take(file(12, 1), file(12, 1, sequence=2, topic="customer-changed", restricted=True))
    await shop.live_until(NOW + YEAR + DAY)
    assert await given_on(shop) == []
    await shop.take(file(12, 1, sequence=3, topic="customer-changed"))
    await shop.live_until(NOW + YEAR + 20 * DAY)
    assert await given_on(shop) == [taipei(2027, 12, 1)]


async def test_an_older_file_that_comes_later_changes_nothing(shop: Shop) -> None:
    await shop.post(rules=[rule("birthday")])
    await shop.take(file(12, 1, sequence=5, topic="customer-changed"))
    await shop.take(file(11, 25, sequence=4, topic="customer-changed"))
    await shop.live_until(NOW + 30 * DAY)
    assert await given_on(shop) == [taipei(2026, 12, 1)]


async def test_two_ids_of_one_person_have_one_birthday(shop: Shop) -> None:
    await shop.post(rules=[rule("birthday")])
    await shop.take(bought(C, "o-1", "0"), bought("c-old", "o-2", "0"))
    await shop.take(merged("c-old", C), file(12, 1), file(12, 1, "c-old"))
    await shop.live_until(NOW + 30 * DAY)
    assert len(await given_on(shop)) == 1
    await whole(shop)


async def test_an_anniversary_is_of_the_tenure_s_start_else_of_the_registration(shop: Shop) -> None:
    await shop.post(rules=[rule("anniversary", 10)])
    since = datetime(2020, 11, 30, 20, tzinfo=UTC).isoformat()
    await shop.take(file(tenure_start=since), file(customer="c-2"))
    await shop.live_until(NOW + YEAR)
    # Neither of them on the day that it began.
    assert await given_on(shop) == [taipei(2026, 12, 1), taipei(2027, 11, 20)]


async def test_the_files_of_the_contract_s_examples_have_their_days(shop: Shop) -> None:
    shop.clock.set(datetime(2030, 1, 1, tzinfo=UTC))
    for topic in ("customer-registered", "customer-changed"):
        example = msgspec.json.decode((EXAMPLES / f"{TOPICS[topic].type}.json").read_bytes())
        await shop.take(Record(topic, example["data"]["customer_id"].encode(), msgspec.json.encode(example)))
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT birthday, birthday_at, anniversary_at FROM celebrations")
    assert rows
    assert all((row["birthday"] is None) == (row["birthday_at"] is None) and row["anniversary_at"] for row in rows)


@pytest.mark.parametrize("days_ago", [0.0, 700.0])
async def test_history_that_is_filled_in_still_tells_the_days(shop: Shop, days_ago: float) -> None:
    await shop.post(rules=[rule("birthday")])
    data = {**derived(days_ago=days_ago), "birthday": {"month": 12, "day": 1}}
    await shop.take(record("customer-registered", {**data, "occurred_at": at(days_ago)}, backfill=True))
    await shop.live_until(NOW + 30 * DAY)
    assert await given_on(shop) == [taipei(2026, 12, 1)]
