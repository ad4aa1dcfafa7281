"""Where customers stand: placed by what happens and by time, published once, the same whatever the way."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.profile.purchases.domain import House
from services.profile.segments import application, queue_store, store
from services.profile.segments.application import Placing
from services.profile.segments.reading import known_of
from shared.db import fetch
from shared.service import Wake
from shared.settings import HouseSettings
from tests.integration.profile.house import Profile
from tests.kit.builders import NOW, about_order, purchase, record, returned

SERVICE = "profile"
HOUSE = House(HouseSettings().currency, HouseSettings().time_zone)


def placing(profile: Profile) -> Placing:
    return Placing(profile.service.db, profile.clock, HOUSE, Wake())


async def bought(profile: Profile, customer: str, *days_ago: float, **attributes: Any) -> None:
    orders = [record("purchase-recorded", purchase(customer, days_ago=days), **attributes) for days in days_ago]
    await profile.take(*orders)


async def places(profile: Profile, customer: str) -> dict[str, str]:
    async with profile.service.db.transaction() as tx:
        rows = await fetch(tx, "SELECT segment, class FROM placements WHERE customer_id = :who", who=customer)
    return {row["segment"]: row["class"] for row in rows}


async def changes(profile: Profile, topic: str = "segment-changed", **wanted: Any) -> list[dict[str, Any]]:
    said = [event["event"]["data"] for event in await profile.published(topic)]
    return [data for data in said if all(data.get(name) == value for name, value in wanted.items())]


async def live_until(profile: Profile, at: datetime) -> None:
    """The clock goes on as it does in a trial: from one due instant to the next."""
    work = placing(profile)
    await work.run()
    while (due := await work.next_due()) is not None and due <= at:
        profile.clock.set(max(due, profile.clock.now()))
        await work.run()
    profile.clock.set(at)
    await work.run()


async def test_a_purchase_places_its_customer_and_every_change_is_published_once(profile: Profile) -> None:
    await bought(profile, "a", 0)
    assert await places(profile, "a") == {}
    await placing(profile).run()
    assert await places(profile, "a") == {"class": "regular", "lifecycle": "new", "rfm": "5-1-1", "value": "EIV"}
    assert await placing(profile).run() == 0
    first = await changes(profile, customer_id="a")
    assert {data["segment"]: (data.get("from"), data["to"], data["cause"]) for data in first} == {
        "lifecycle": (None, "new", "event"), "rfm": (None, "5-1-1", "event"), "value": (None, "EIV", "event"),
        "class": (None, "regular", "event"),
    }  # fmt: skip
    assert len(first) == 4
    [lifecycle] = [data for data in first if data["segment"] == "lifecycle"]
    assert lifecycle["inputs"] | {"last_purchase_day": ""} == {
        "days_since_first_purchase": 0, "days_since_last_purchase": 0, "purchase_days": 1, "last_purchase_day": "",
    }  # fmt: skip


async def test_time_alone_moves_a_customer_at_the_first_instant_of_the_day_and_loses_him(profile: Profile) -> None:
    await bought(profile, "a", 0)
    await live_until(profile, NOW + timedelta(days=400))
    moves = await changes(profile, segment="lifecycle")
    assert [(data.get("from"), data["to"], data["cause"]) for data in moves] == [
        (None, "new", "event"), ("new", "dormant", "time"), ("dormant", "lost", "time"),
    ]  # fmt: skip
    midnight = datetime.fromisoformat(moves[1]["occurred_at"])
    assert HOUSE.day(midnight) == HOUSE.day(NOW) + timedelta(days=90)
    assert HOUSE.day(midnight - timedelta(microseconds=1)) == HOUSE.day(NOW) + timedelta(days=89)
    [lost] = await changes(profile, "customer-lost")
    assert (lost["customer_id"], lost["silent_days"]) == ("a", 365)
    recency = [data["to"] for data in await changes(profile, segment="rfm")]
    assert recency == ["5-1-1", "4-1-1", "3-1-1", "2-1-1", "1-1-1"]


async def test_what_time_changed_while_nobody_looked_is_told_of_its_own_instants(profile: Profile) -> None:
    await bought(profile, "a", 0)
    await placing(profile).run()
    profile.clock.set(NOW + timedelta(days=400))
    await placing(profile).run()
    moves = await changes(profile, segment="lifecycle", cause="time")
    days = [HOUSE.day(datetime.fromisoformat(data["occurred_at"])) - HOUSE.day(NOW) for data in moves]
    assert [(data["to"], day.days) for data, day in zip(moves, days, strict=True)] == [("dormant", 90), ("lost", 365)]


async def test_who_buys_again_after_a_silence_has_returned_and_a_late_old_order_is_no_return(profile: Profile) -> None:
    await bought(profile, "a", 100)
    await bought(profile, "b", 100)
    await placing(profile).run()
    assert (await places(profile, "a"))["lifecycle"] == "dormant"
    await bought(profile, "a", 0)
    await bought(profile, "b", 50)
    await placing(profile).run()
    [back] = await changes(profile, "customer-returned")
    assert (back["customer_id"], back["from"], back["silent_days"]) == ("a", "dormant", 100)
    assert {(await places(profile, who))["lifecycle"] for who in "ab"} == {"returned", "active"}


async def test_loaded_history_is_placed_in_silence_and_what_comes_after_is_told(profile: Profile) -> None:
    await bought(profile, "a", 300, 200, backfill=True)
    await placing(profile).run()
    assert (await places(profile, "a"))["lifecycle"] == "dormant"
    assert await changes(profile) == await changes(profile, "customer-lost") == []
    await bought(profile, "a", 250, backfill=True)
    await bought(profile, "b", 1)
    await placing(profile).run()
    assert {data["customer_id"] for data in await changes(profile)} == {"b"}
    await bought(profile, "a", 0)
    await placing(profile).run()
    [back] = await changes(profile, "customer-returned")
    assert (back["customer_id"], back["silent_days"]) == ("a", 200)


async def test_an_order_given_back_takes_its_customers_place_away(profile: Profile) -> None:
    await profile.take(record("purchase-recorded", purchase("a", "o-1")))
    await placing(profile).run()
    await profile.take(record("purchase-returned", returned("o-1", customer_id="a")))
    await placing(profile).run()
    assert await places(profile, "a") == {"class": "prospect", "lifecycle": "prospect", "value": "PIV"}
    [gone] = await changes(profile, segment="rfm", to=None)
    assert gone["from"] == "5-1-1"
    await profile.take(record("purchase-recorded", purchase("a", "o-2")))
    await profile.take(record("purchase-cancelled", about_order("o-2", customer_id="a")))
    await placing(profile).run()
    assert await places(profile, "a") == {"class": "prospect", "lifecycle": "prospect", "value": "PIV"}


async def test_a_prospects_intent_rises_with_what_he_does_and_falls_with_time(profile: Profile) -> None:
    inquiry = {"customer_id": "a", "activity_id": "x", "kind": "inquiry", "occurred_at": NOW.isoformat()}
    await profile.take(record("activity-recorded", inquiry))
    await placing(profile).run()
    assert (await places(profile, "a"))["value"] == "PIII"
    await live_until(profile, NOW + timedelta(days=29))
    assert (await places(profile, "a"))["value"] == "PIII"
    await live_until(profile, NOW + timedelta(days=30))
    assert (await places(profile, "a"))["value"] == "PIV"
    assert [data["cause"] for data in await changes(profile, segment="value")] == ["event", "time"]


class AtABusyHour(Placing):
    """Somebody else buys whenever marks are taken."""

    async def _marked(self, after: str) -> list[queue_store.Marked]:
        async with self.db.transaction() as tx:
            await queue_store.mark(tx, ["b"])
        return await super()._marked(after)


async def test_time_and_new_rules_have_their_turn_while_purchases_keep_coming_in(profile: Profile) -> None:
    await bought(profile, "a", 0)
    await placing(profile).run()
    profile.clock.set(NOW + timedelta(days=100))
    async with profile.service.db.transaction() as tx:
        await store.start(tx, "value", profile.clock.now())
    async with asyncio.timeout(20):
        await AtABusyHour(profile.service.db, profile.clock, HOUSE, Wake()).run()
    assert (await places(profile, "a"))["lifecycle"] == "dormant"
    async with profile.service.db.transaction() as tx:
        assert await store.unfinished(tx) is None


async def test_history_is_loaded_in_silence_wherever_a_page_of_marks_ends(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "BATCH", 1)
    await profile.take(
        *(record("purchase-recorded", purchase(who, days_ago=300), backfill=True) for who in ("a", "b"))
    )
    await placing(profile).run()
    assert (await places(profile, "a"))["lifecycle"] == "dormant"
    assert await changes(profile) == []


async def test_history_of_one_id_doesnt_silence_a_purchase_under_another_of_the_same_person(profile: Profile) -> None:
    await bought(profile, "a", 300, backfill=True)
    await bought(profile, "b", 290, backfill=True)
    answer = await profile.client.post("/merges", json={"from_id": "a", "into_id": "b"})
    assert answer.status_code == 201
    await placing(profile).run()
    loaded = record("purchase-recorded", purchase("a", days_ago=280), backfill=True)
    await profile.take(loaded, record("purchase-recorded", purchase("b", days_ago=0)))
    await placing(profile).run()
    assert [data["to"] for data in await changes(profile, customer_id="b", segment="lifecycle", cause="event")]


async def test_in_a_rush_nobody_is_placed_until_it_is_over_or_somebody_has_waited_long_enough(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "RUSH", 1)
    await bought(profile, "a", 300, 0)
    assert await placing(profile).run() == 0
    assert await placing(profile).next_due() == profile.clock.now()
    assert await placing(profile).run() == 1
    assert await places(profile, "a") != {}
    monkeypatch.setattr(application, "PATIENCE_SECONDS", 0)
    await bought(profile, "b", 300, 0)
    assert await placing(profile).run() == 1


async def test_who_waits_in_silence_is_told_of_if_he_buys_meanwhile(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bought(profile, "a", 300, backfill=True)
    await bought(profile, "b", 300, backfill=True)
    monkeypatch.setattr(application, "RUSH", 0)
    assert await placing(profile).run() == 0
    await bought(profile, "a", 0)
    monkeypatch.setattr(application, "RUSH", 10)
    assert await placing(profile).run() == 2
    assert {data["customer_id"] for data in await changes(profile)} == {"a"}
    assert len(await changes(profile, segment="lifecycle")) == 1


async def test_a_live_purchase_between_the_queue_and_the_reading_is_told_though_history_was_loaded(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bought(profile, "a", 300, backfill=True)
    read_by = "services.profile.segments.application.known_of"

    async def interrupted(*args: Any) -> Any:
        monkeypatch.setattr(read_by, known_of)
        await bought(profile, "a", 0)
        return await known_of(*args)

    monkeypatch.setattr(read_by, interrupted)
    await placing(profile).run()
    assert [data["to"] for data in await changes(profile, customer_id="a", segment="lifecycle")] == ["returned"]


async def test_history_that_comes_in_while_a_rule_or_time_is_placing_stays_silent_and_what_they_move_later_is_told(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_by, work = "services.profile.segments.application.known_of", placing(profile)
    history = iter(range(300, 200, -1))

    async def interrupted(*args: Any) -> Any:
        monkeypatch.setattr(read_by, known_of)
        await bought(profile, "a", next(history), next(history), backfill=True)
        return await known_of(*args)

    async def by_rule() -> None:
        async with profile.service.db.transaction() as tx:
            await store.start(tx, "lifecycle", profile.clock.now())
        await work.run()

    async def by_time() -> None:
        due = await work.next_due()
        assert due is not None
        profile.clock.set(due)
        await work.run()

    await bought(profile, "a", 0)
    await work.run()
    told = await changes(profile)
    for way in (by_rule, work.recompute, by_time):
        before = await places(profile, "a")
        monkeypatch.setattr(read_by, interrupted)
        await way()
        assert await places(profile, "a") != before
        assert await changes(profile) == told
    await live_until(profile, NOW + timedelta(days=400))
    assert {data["cause"] for data in await changes(profile) if data not in told} == {"time"}
    assert len(await changes(profile, "customer-lost")) == 1
