"""A rhythm that breaks and a demand that shifts are told once, when they do, and not of loaded history."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.messaging.records import Record
from tests.integration.profile.house import Profile
from tests.integration.profile.test_reports import job
from tests.kit.builders import NOW, line, purchase, record

SERVICE = "profile"


def bought(customer: str, days_ago: float, category: str = "tea", **attributes: Any) -> Record:
    lines = [line(category=category)]
    return record("purchase-recorded", purchase(customer, days_ago=days_ago, lines=lines), **attributes)


async def live(profile: Profile, name: str, until: datetime) -> None:
    """Runs a job whenever it is due, as the virtual clock does."""
    work = job(profile, name)
    while (due := await work.next_due()) is not None and due <= until:
        profile.clock.set(max(due, profile.clock.now()))
        await work.run()
        following = await work.next_due()
        assert following is not None
        assert following > profile.clock.now()


async def look(profile: Profile, *days: float) -> None:
    """Runs the watch over rhythms so many days after NOW."""
    for later in days:
        profile.clock.set(NOW + timedelta(days=later))
        await job(profile, "watch-rhythms").run()


async def drops(profile: Profile) -> list[dict[str, Any]]:
    found = await profile.published("purchase-rhythm-dropped")
    for one in found:
        await profile.take(Record(one["topic"], one["key"], one["value"]))
    return [one["event"]["data"] for one in found]


async def test_a_silence_that_a_customers_own_rhythm_does_not_explain_is_told_once(profile: Profile) -> None:
    weekly = [bought("pos:weekly", 7 * n + n % 2) for n in range(10)]
    fitful = [bought("pos:fitful", days) for days in (0, 2, 5, 30, 33, 60, 61, 90, 130)]
    await profile.take(*weekly, *fitful, *(bought("pos:few", 7 * n) for n in range(4)))
    await look(profile, 0, 9)
    await live(profile, "watch-rhythms", NOW + timedelta(days=14))
    [told] = await drops(profile)
    assert (told["customer_id"], told["gaps"], told["policy_version"]) == ("pos:weekly", 9, 1)
    # His gaps are of 6 and 8 days: the first morning on which so long a gap has less than one chance in a hundred.
    assert (told["silent_days"], told["usual_gap_days"]) == (12, 7.0)
    assert 0 < told["p_value"] < 0.01
    assert told["occurred_at"] == "2026-12-01T19:30:00Z"
    story = (await profile.client.get("/customers/pos:weekly/timeline?kinds=purchase-rhythm-dropped")).json()["items"]
    assert len(story) == 1

    await profile.take(bought("pos:weekly", -14))
    await look(profile, 20, 60, 61)
    assert [one["customer_id"] for one in await drops(profile)].count("pos:weekly") == 2


async def test_a_silence_of_loaded_history_is_told_to_nobody(profile: Profile) -> None:
    await look(profile, 0, 1)
    await profile.take(*(bought("pos:1", 30 + 7 * n, backfill=True) for n in range(10)))
    await look(profile, 2, 60)
    assert await drops(profile) == []


async def demands(profile: Profile) -> list[dict[str, Any]]:
    return [one["event"]["data"] for one in await profile.published("category-demand-changed")]


async def test_a_category_that_shifts_is_told_once_and_others_are_not(profile: Profile) -> None:
    # NOW is a Friday; the next Monday but one closes four weeks of which the last is still to come.
    monday = datetime(2026, 11, 29, 19, 30, tzinfo=UTC)
    sold = [bought(f"pos:{n}", 10 + n / 3, "ware") for n in range(120)]
    sold += [bought(f"pos:{n}", 22 + n / 4, "tea") for n in range(120)]
    sold += [bought(f"pos:{n}", 1 + n, "rare") for n in range(3)]
    await live(profile, "watch-demand", NOW)
    await profile.take(*sold, bought("pos:old", 200))
    await live(profile, "watch-demand", monday)
    [tea] = [one for one in await demands(profile) if one["category"] == "tea"]
    assert (tea["direction"], tea["since"], tea["until"]) == ("down", "2026-10-26", "2026-11-23")
    assert tea["before"] > tea["now"]
    assert tea["p_value"] <= tea["adjusted_p_value"] < 0.05
    assert tea["occurred_at"] == "2026-11-22T19:30:00Z"
    assert {one["category"] for one in await demands(profile)} <= {"tea", "ware"}
    key = {one["key"] for one in await profile.published("category-demand-changed")}
    assert b"tea" in key


async def test_demand_of_loaded_history_or_of_a_shop_that_just_began_is_told_to_nobody(profile: Profile) -> None:
    await live(profile, "watch-demand", NOW)
    await profile.take(*(bought(f"pos:{n}", n / 4) for n in range(80)))
    profile.clock.set(NOW + timedelta(days=8))
    await live(profile, "watch-demand", NOW + timedelta(days=8))
    await profile.take(*(bought(f"old:{n}", 5 + n / 100, "ware", backfill=True) for n in range(80)), bought("x", 200))
    await live(profile, "watch-demand", NOW + timedelta(days=17))
    assert await demands(profile) == []
