"""Loaded history is kept, counted and placed, and sets off nothing; what is live beside it does."""

from datetime import timedelta
from typing import Any

import pytest

from services.profile.segments.reading import known_of
from shared.db import execute
from shared.messaging.records import Record
from tests.integration.profile.house import Profile
from tests.integration.profile.test_changes import drops, look
from tests.integration.profile.test_imports import send
from tests.integration.profile.test_references import received, referring
from tests.integration.profile.test_segments import bought, changes, live_until, places, placing
from tests.kit.builders import NOW, at, purchase, record

SERVICE = "profile"


def activity(customer: str = "a", kind: str = "inquiry", **attributes: Any) -> Record:
    data = {"customer_id": customer, "activity_id": f"x:{customer}", "kind": kind, "occurred_at": at(0)}
    return record("activity-recorded", data, **attributes)


def complaint(customer: str = "a", **attributes: Any) -> Record:
    data = {"customer_id": customer, "feedback_id": f"f:{customer}", "channel": "web", "kind": "complaint"}
    return record("feedback-received", {**data, "occurred_at": at(0)}, **attributes)


def order(customer: str = "a", days_ago: float = 0, **attributes: Any) -> Record:
    return record("purchase-recorded", purchase(customer, days_ago=days_ago), **attributes)


async def registered(profile: Profile) -> dict[str, bool]:
    """customer -> whether the event of his file says that he was loaded."""
    rows = await profile.published("customer-registered")
    return {row["event"]["data"]["customer_id"]: row["event"].get("backfill", False) for row in rows}


async def test_a_file_made_by_loaded_history_is_announced_as_loaded(profile: Profile) -> None:
    live = [order("order"), activity("activity")]
    loaded = [order("old:order", backfill=True), activity("old:activity", backfill=True)]
    await profile.take(*live, *loaded, complaint("old:complaint", backfill=True))
    await profile.take(order("both"), order("both", 300, backfill=True))
    told = {"old:order": True, "old:activity": True, "old:complaint": True, "both": True}
    assert await registered(profile) == {**told, "order": False, "activity": False}


@pytest.mark.parametrize("kind", ["phone", "card"])
async def test_whom_a_loaded_event_refers_to_is_no_new_customer(profile: Profile, kind: str) -> None:
    value = {"phone": "0912345678", "card": "88600001"}[kind]
    assert (await received(profile, {**referring("r-1", kind, value), "backfill": True}))[0] == 1
    assert list((await registered(profile)).values()) == [True]
    await placing(profile).run()
    assert await changes(profile) == []


async def test_a_file_and_a_consent_that_an_import_brings_are_announced_as_loaded(profile: Profile) -> None:
    await bought(profile, "known", 1)
    said = {"channel": "email", "purpose": "marketing", "granted": True, "source": "s", "wording_version": "1"}
    rows = [{"customer_id": who, "locale": "zh-TW", "consents": [said]} for who in ("known", "new")]
    done = await send(profile, rows)
    await profile.client.patch("/customers/new", json={"locale": "en"}, headers={"If-Match": '"1"'})
    assert (await profile.client.post(f"/imports/{done['id']}/revert")).is_success
    await placing(profile).run()
    file_events = ("customer-registered", "customer-changed", "consent-changed")
    events = [row for topic in file_events for row in await profile.published(topic)]
    told = [(row["topic"], row["key"].decode(), row["event"].get("backfill", False)) for row in events]
    assert told == [
        ("customer-registered", "known", False),
        ("customer-registered", "new", True),
        ("customer-changed", "known", True),
        ("customer-changed", "new", False),
        ("consent-changed", "known", True),
        ("consent-changed", "new", True),
    ]


@pytest.mark.parametrize("first", ["live", "loaded"])
async def test_a_live_purchase_is_told_of_though_other_history_of_his_is_loaded_beside_it(
    profile: Profile, first: str
) -> None:
    await bought(profile, "a", 300, backfill=True)
    await placing(profile).run()
    batch = [order("a", 0), activity("a", backfill=True)]
    await profile.take(*(batch if first == "live" else reversed(batch)))
    await placing(profile).run()
    [back] = await changes(profile, "customer-returned")
    assert back["customer_id"] == "a"


async def test_live_news_is_told_of_though_loaded_orders_come_in_beside_it(profile: Profile) -> None:
    answer = await profile.client.post(
        "/segments",
        json={"name": "cross", "rule": {"fact": "complaints", "op": ">=", "value": 1}},
    )
    assert answer.status_code == 201, answer.text
    await bought(profile, "a", 300, backfill=True)
    await placing(profile).run()
    await profile.take(order("a", 200, backfill=True), complaint("a"))
    await placing(profile).run()
    assert [move["to"] for move in await changes(profile, segment="cross")] == ["in"]


async def test_a_prospects_inquiry_is_told_of_though_his_complaint_is_loaded_beside_it(profile: Profile) -> None:
    await profile.take(activity("a", "visit", backfill=True))
    await placing(profile).run()
    await profile.take(record("activity-recorded", {
        "customer_id": "a", "activity_id": "new", "kind": "inquiry", "occurred_at": at(0),
    }), complaint("a", backfill=True))  # fmt: skip
    await placing(profile).run()
    assert [move["to"] for move in await changes(profile, segment="value")] == ["PIII"]


async def test_loaded_news_of_every_kind_places_in_silence(profile: Profile) -> None:
    rule = {"any": [
        {"fact": "complaints", "op": ">=", "value": 1}, {"fact": "points", "op": ">=", "value": 1},
        {"fact": "contacts_sent_90_days", "op": ">=", "value": 1},
    ]}  # fmt: skip
    assert (await profile.client.post("/segments", json={"name": "moved", "rule": rule})).status_code == 201
    ours = {"sequence": 1, "caused_by": {"source": "/shop/tw", "id": "x"}, "occurred_at": at(0)}
    sent = {"contact_id": "c", "purpose": "cadence", "channel": "email", "policy_version": 1, "provider": "smtp"}
    earned = {"order_id": "o", "points": 5, "available_from": at(0), "programme_version": 1, "expires_at": None}
    said = [
        activity("activity", backfill=True),
        complaint("complaint", backfill=True),
        record("contact-sent", {"customer_id": "contact", **ours, **sent}, backfill=True),
        record("points-earned", {"customer_id": "points", **ours, **earned}, backfill=True),
    ]
    await profile.take(*said)
    assert profile.service.intake.counts["dead"] == 0
    await placing(profile).run()
    assert {(await places(profile, who))["lifecycle"] for who in await registered(profile)} == {"prospect"}
    assert [(await places(profile, who)).get("moved") for who in ("complaint", "contact")] == ["in", "in"]
    assert await changes(profile) == []
    await live_until(profile, NOW + timedelta(days=91))
    assert {move["cause"] for move in await changes(profile)} == {"time"}


def points(customer: str, **attributes: Any) -> Record:
    data = {"customer_id": customer, "sequence": 1, "caused_by": {"source": "/shop/tw", "id": "x"},
            "occurred_at": at(0), "order_id": "o", "points": 5, "available_from": at(0), "programme_version": 1,
            "expires_at": None}  # fmt: skip
    return record("points-earned", data, **attributes)


@pytest.mark.parametrize("meanwhile", [False, True])
async def test_what_time_moves_is_told_though_loaded_news_waits_that_has_nothing_to_do_with_it(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, meanwhile: bool
) -> None:
    await profile.take(order("a"), order("b"))
    await live_until(profile, NOW + timedelta(days=88))
    told, read_by = await changes(profile), "services.profile.segments.application.known_of"

    async def interrupted(*args: Any) -> Any:
        monkeypatch.setattr(read_by, known_of)
        await profile.take(points("b", backfill=True))
        return await known_of(*args)

    if meanwhile:
        monkeypatch.setattr(read_by, interrupted)
    else:
        await profile.take(points("b", backfill=True))
    profile.clock.set(NOW + timedelta(days=400))
    await placing(profile).run()
    moves = [move for move in await changes(profile) if move not in told]
    of = [[(one["segment"], one["to"], one["cause"], one["occurred_at"]) for one in moves if one["customer_id"] == who]
          for who in "ab"]  # fmt: skip
    assert sorted(of[0]) == sorted(of[1])
    assert {("lifecycle", "dormant"), ("lifecycle", "lost")} <= {move[:2] for move in of[1]}
    assert {loss["customer_id"] for loss in await changes(profile, "customer-lost")} == {"a", "b"}


async def test_of_whom_it_isnt_kept_where_time_takes_him_a_move_that_was_due_is_told(profile: Profile) -> None:
    await profile.take(order("a"))
    await live_until(profile, NOW + timedelta(days=89))
    async with profile.service.db.transaction() as tx:
        await execute(tx, "UPDATE placements SET next_class = NULL")
    assert await placing(profile).recompute() == 0
    await profile.take(points("a", backfill=True))
    profile.clock.set(NOW + timedelta(days=91))
    await placing(profile).run()
    assert "dormant" in {move["to"] for move in await changes(profile, segment="lifecycle")}


async def test_what_loaded_orders_make_of_a_day_that_was_due_is_silent_and_what_follows_of_it(profile: Profile) -> None:
    await profile.take(order("a"), order("b"))
    await placing(profile).run()
    told = await changes(profile)
    profile.clock.set(NOW + timedelta(days=200))
    await profile.take(*(order("b", -days, backfill=True) for days in (20, 25, 30)))
    await placing(profile).run()
    assert {move["customer_id"] for move in await changes(profile) if move not in told} == {"a"}
    assert (await places(profile, "b"))["lifecycle"] == "dormant"


async def test_a_rhythm_that_history_made_known_since_the_last_night_breaks_in_silence(profile: Profile) -> None:
    # By gaps of 6 and 8 days, the twelfth day of silence breaks it.
    await look(profile, 0, 12)
    await profile.take(*(order("old", 7 * n + n % 2 - 1, backfill=True) for n in range(10)))
    await profile.take(*(order("late", 7 * n + n % 2 - 1) for n in range(10)))
    await look(profile, 13, 14)
    assert [one["customer_id"] for one in await drops(profile)] == ["late"]


async def test_a_rhythm_that_history_made_known_some_nights_before_it_breaks_is_told(profile: Profile) -> None:
    await look(profile, 0, 1)
    await profile.take(*(order("old", 7 * n + n % 2 - 1, backfill=True) for n in range(10)))
    await look(profile, 5, 10, 13, 14)
    assert [one["customer_id"] for one in await drops(profile)] == ["old"]
