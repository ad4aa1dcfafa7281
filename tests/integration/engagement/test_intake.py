"""Any order and duplication of the same events leaves the same facts and states; consumers flag, the job plans."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from services.engagement.customers.store import APART
from shared.messaging.records import Record
from tests.integration.engagement.house import (
    Engagement,
    at_risk,
    changed,
    complaint,
    consent,
    merged,
    open_engagement,
    registered,
    risk_lowered,
)
from tests.kit.builders import about_order, at, line, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "engagement"


def a_shop_s_week() -> list[Record]:
    """Orders with versions, returns and cancellations of three customers, their files, consents and forecasts."""
    two = [line(amount="300"), line("2", amount="50", quantity=2)]
    events: list[tuple[str, dict[str, Any]]] = [
        ("purchase-recorded", purchase("pos:1", "o1", total="400", days_ago=60, lines=two)),
        ("purchase-recorded", purchase("pos:1", "o2", days_ago=30)),
        ("purchase-recorded", purchase("pos:1", "o3", days_ago=2)),
        ("purchase-recorded", purchase("pos:1", "o1", total="300", days_ago=61, order_version=2)),
        ("purchase-recorded", purchase("pos:2", "o4", days_ago=9)),
        ("purchase-recorded", purchase("pos:3", "o4", days_ago=9, order_version=2)),
        ("purchase-recorded", purchase("pos:2", "o5", days_ago=3, total="0", lines=[])),
        ("purchase-returned", returned("o2", days_ago=20)),
        ("purchase-cancelled", about_order("o3", days_ago=1)),
        ("purchase-delivered", about_order("o1", days_ago=55)),
        ("purchase-returned", returned("unknown", customer_id="pos:3")),
        registered("pos:1", days_ago=61, locale="en"), changed("pos:1", locale="zh-TW", preferred_every_days=10),
        registered("pos:2", days_ago=9), consent("pos:1"), consent("pos:1", granted=False), complaint("pos:2"),
        at_risk("pos:1"), risk_lowered("pos:1"), at_risk("pos:2"),
    ]  # fmt: skip
    return [record(topic, data) for topic, data in events]


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_and_duplication_of_events_leaves_the_same_state(databases: Databases, seed: int) -> None:
    events = a_shop_s_week()
    chance = random.Random(seed)
    shuffled = [*events, *chance.choices(events, k=12)]
    chance.shuffle(shuffled)
    async with databases.fresh(SERVICE) as one, databases.fresh(SERVICE) as other:
        async with open_engagement(one) as straight:
            await straight.take_records(events)
            expected = await straight.state_hash()
        async with open_engagement(other) as mixed:
            while shuffled:
                size = chance.randint(1, 7)
                await mixed.take_records(shuffled[:size])
                del shuffled[:size]
            assert await mixed.state_hash() == expected
            assert mixed.service.intake.counts["dead"] == 0
            assert mixed.service.intake.counts["duplicate"] == 12


async def test_many_purchases_of_a_customer_cost_one_planning(without_mail: Engagement) -> None:
    await without_mail.take(*[("purchase-recorded", purchase(days_ago=10 - n)) for n in range(10)])
    assert await without_mail.published() == []
    assert await without_mail.run("plan") == 1
    assert len(await without_mail.contacts()) == 1
    assert await without_mail.run("plan") == 0


async def test_a_purchase_moves_the_rhythm_and_that_is_published(without_mail: Engagement) -> None:
    await without_mail.take(("purchase-recorded", purchase(days_ago=5)))
    await without_mail.run("plan")
    without_mail.clock.set(without_mail.clock.now() + APART)
    await without_mail.take(("purchase-recorded", purchase(days_ago=1)))
    await without_mail.run("plan")
    [(_, first), (_, second)] = await without_mail.published("contact-planned")
    assert first["contact_id"] == second["contact_id"]
    assert first["due_at"] < second["due_at"]
    assert (first["sequence"], second["sequence"]) == (1, 2)
    assert second["caused_by"]["source"] == "/shop/tw"


async def test_planning_again_without_news_publishes_nothing(without_mail: Engagement) -> None:
    await without_mail.take(("purchase-recorded", purchase(days_ago=5)))
    await without_mail.run("plan")
    without_mail.clock.set(without_mail.clock.now() + APART)
    await without_mail.take(changed(locale="zh-TW"))
    assert await without_mail.run("plan") == 1
    assert len(await without_mail.published()) == 1


async def test_a_customer_is_planned_at_once_and_then_no_sooner_than_ten_seconds_later(
    without_mail: Engagement,
) -> None:
    started = without_mail.clock.now()
    await without_mail.take(("purchase-recorded", purchase(days_ago=5)))
    assert await without_mail.run("plan") == 1
    await without_mail.take(("purchase-recorded", purchase(days_ago=4)))
    await without_mail.take(("purchase-recorded", purchase(days_ago=3)))
    assert await without_mail.run("plan") == 0
    without_mail.clock.set(started + APART)
    assert await without_mail.run("plan") == 1


async def test_loaded_history_plans_nobody(without_mail: Engagement) -> None:
    await without_mail.take_records([record("purchase-recorded", purchase(days_ago=5), backfill=True)])
    await without_mail.take_records([record(*complaint(), backfill=True)])
    assert await without_mail.run("plan") == 0
    assert await without_mail.rows("SELECT * FROM tasks") == []


async def test_who_was_made_known_by_history_is_neither_planned_nor_welcomed(without_mail: Engagement) -> None:
    loaded = [record("purchase-recorded", purchase(days_ago=5), backfill=True)]
    loaded += [record(*registered(who), backfill=True) for who in ("pos:1", "pos:2")]
    loaded += [record(*changed(who, locale="zh-TW"), backfill=True) for who in ("pos:1", "pos:2")]
    await without_mail.take_records(loaded)
    await without_mail.take(merged("pos:2", "pos:1"), merged("pos:2", "pos:1", version=2))
    assert await without_mail.run("plan") == 0
    assert await without_mail.contacts() == []
    await without_mail.take(changed("pos:1", locale="en"), changed("pos:2", locale="en"))
    assert await without_mail.run("plan") == 2
    assert [(c["customer_id"], c["purpose"]) for c in await without_mail.contacts()] == [("pos:1", "cadence")]


async def test_a_risk_that_history_alone_tells_wins_nobody_back_and_one_that_rises_later_does(
    without_mail: Engagement,
) -> None:
    await without_mail.take_records([record("purchase-recorded", purchase(days_ago=200), backfill=True)])
    await without_mail.take_records([record(*at_risk(), backfill=True)])
    async with without_mail.client() as http:
        policy = (await http.get("/policies/caps")).json()["policy"]
        answer = await http.put("/policies/caps", json={"policy": policy | {"per_day": 5}}, headers={"If-Match": "*"})
        assert answer.is_success, answer.text
        assert await without_mail.run("plan") == 0
        assert await without_mail.contacts() == []
        await without_mail.take(at_risk(band="critical"))
        assert "win-back" in {contact["purpose"] for contact in await without_mail.contacts()}
        answer = await http.put("/policies/caps", json={"policy": policy | {"per_day": 6}}, headers={"If-Match": "*"})
        assert answer.is_success, answer.text
    assert await without_mail.run("plan") == 1


async def test_a_risk_that_history_tells_of_who_is_planned_already_wins_him_back(without_mail: Engagement) -> None:
    await without_mail.take(*(("purchase-recorded", purchase(who, days_ago=5)) for who in ("pos:1", "pos:2")))
    await without_mail.run("plan")
    loaded = [record(*at_risk("pos:1"), backfill=True), record(*at_risk("pos:3"), backfill=True)]
    await without_mail.take_records(loaded)
    planned = {(c["customer_id"], c["purpose"]) for c in await without_mail.contacts()}
    assert {who for who, purpose in planned if purpose == "win-back"} == {"pos:1"}
    await without_mail.take(merged("pos:2", "pos:4"))
    await without_mail.take_records([record(*at_risk("pos:4"), backfill=True)])
    planned = {(c["customer_id"], c["purpose"]) for c in await without_mail.contacts()}
    assert {who for who, purpose in planned if purpose == "win-back"} == {"pos:1", "pos:4"}


LIVE = {
    "a complaint": (complaint(), complaint(feedback_id="f-2"), True),
    "praise": (complaint(kind="praise"), complaint(kind="praise", feedback_id="f-2"), True),
    "a consent": (consent(), consent(), True),
    "a consent withdrawn": (consent(), consent(granted=False), False),
}


@pytest.mark.parametrize(("loaded", "live", "planned"), LIVE.values(), ids=list(LIVE))
async def test_who_was_loaded_is_planned_by_live_feedback_and_by_a_live_consent(
    without_mail: Engagement, loaded: tuple[str, dict[str, Any]], live: tuple[str, dict[str, Any]], planned: bool
) -> None:
    history = [("purchase-recorded", purchase(days_ago=5)), loaded]
    await without_mail.take_records([record(*event, backfill=True) for event in history])
    assert await without_mail.run("plan") == 0
    await without_mail.take(live)
    assert await without_mail.run("plan") == planned
    assert [contact["purpose"] for contact in await without_mail.contacts()] == ["cadence"] * planned


async def test_who_was_loaded_and_is_joined_to_somebody_live_is_planned_with_him(without_mail: Engagement) -> None:
    await without_mail.take_records([record("purchase-recorded", purchase("pos:1", days_ago=40), backfill=True)])
    await without_mail.take(("purchase-recorded", purchase("pos:2", days_ago=5)))
    await without_mail.take(merged("pos:2", "pos:1"))
    assert [contact["customer_id"] for contact in await without_mail.contacts(status="planned")] == ["pos:1"]
    await without_mail.take_records([record(*changed("pos:2", preferred_every_days=60), backfill=True)])
    without_mail.clock.set(without_mail.clock.now() + APART)
    assert await without_mail.run("plan") >= 1
    [contact] = await without_mail.contacts(status="planned")
    assert contact["due_at"] > without_mail.clock.now() + timedelta(days=50)


async def test_who_was_loaded_and_buys_is_no_new_customer(without_mail: Engagement) -> None:
    everybody = ("pos:1", "pos:2", "pos:3")
    await without_mail.take_records([record(*registered(who), backfill=True) for who in everybody])
    loaded = [purchase("pos:2", days_ago=100), purchase("pos:3", days_ago=0.5)]
    await without_mail.take_records([record("purchase-recorded", one, backfill=True) for one in loaded])
    await without_mail.take(*(("purchase-recorded", purchase(who)) for who in everybody))
    assert await without_mail.run("plan") == 3
    contacts = await without_mail.contacts()
    assert [contact["purpose"] for contact in contacts] == ["cadence"] * 3
    told = {contact["customer_id"]: msgspec.json.decode(contact["reasons"])[0]["text"] for contact in contacts}
    assert told == {
        "pos:1": "tenure unknown: every 30 days",
        "pos:2": "100 days of tenure: every 14 days",
        "pos:3": "0 days of tenure: every 7 days",
    }


async def test_a_loaded_file_that_says_since_when_he_is_a_customer_is_believed(without_mail: Engagement) -> None:
    said = registered("pos:1", tenure_start=at(0.5))
    await without_mail.take_records([record(*said, backfill=True)])
    assert await without_mail.run("plan") == 0
    await without_mail.take(changed("pos:1", locale="en", tenure_start=at(0.5)))
    await without_mail.run("plan")
    assert [contact["purpose"] for contact in await without_mail.contacts()] == ["welcome"]


async def test_what_is_loaded_of_somebody_who_was_planned_moves_his_plan(without_mail: Engagement) -> None:
    await without_mail.take(("purchase-recorded", purchase(days_ago=5)))
    await without_mail.run("plan")
    without_mail.clock.set(without_mail.clock.now() + APART)
    await without_mail.take_records([record(*changed(preferred_every_days=60), backfill=True)])
    assert await without_mail.run("plan") == 1
    [contact] = await without_mail.contacts()
    assert contact["due_at"] > without_mail.clock.now() + timedelta(days=50)


async def test_a_customer_is_planned_in_his_own_zone(without_mail: Engagement) -> None:
    await without_mail.take(
        ("purchase-recorded", purchase(days_ago=5)), registered(days_ago=5, time_zone="America/New_York")
    )
    await without_mail.run("plan")
    [contact] = await without_mail.contacts()
    # Bought at 23:00 in New York: a week later at that hour is quiet, 09:00 there is 14:00 UTC.
    assert contact["due_at"].isoformat() == "2026-11-22T14:00:00+00:00"


async def test_a_complaint_becomes_one_task_of_the_customer_s_owner(without_mail: Engagement) -> None:
    await without_mail.take(registered(owner="staff-7"))
    await without_mail.take(complaint(topic="delivery"))
    await without_mail.take(complaint(topic="delivery"))
    [task] = await without_mail.rows("SELECT * FROM tasks")
    assert (task["kind"], task["assignee"], task["status"]) == ("complaint", "staff-7", "open")
    assert task["due_at"].isoformat() == "2026-11-20T08:00:00+00:00"


async def test_planning_and_hand_over_beside_the_consumer_keep_one_open_contact_each(without_mail: Engagement) -> None:
    chance = random.Random(5)
    batches = [
        [
            record(*(at_risk(customer) if chance.random() < 0.3 else risk_lowered(customer)))
            if chance.random() < 0.4
            else record("purchase-recorded", purchase(customer, days_ago=chance.uniform(0, 60)))
            for customer in (f"pos:{chance.randrange(40)}" for _ in range(40))
        ]
        for _ in range(15)
    ]
    finished = asyncio.Event()

    async def repeat(job: str) -> None:
        while not finished.is_set():
            await without_mail.run(job)

    async def revise() -> None:
        async with without_mail.client() as http:
            while not finished.is_set():
                policy = {"policy": {"per_day": 1, "per_week": 2}}
                answer = await http.put("/policies/caps", json=policy, headers={"If-Match": "*"})
                assert answer.status_code == 200

    working = [asyncio.create_task(repeat(job)) for job in ("plan", "hand-over")]
    working.append(asyncio.create_task(revise()))
    for batch in batches:
        await without_mail.take_records(batch)
    finished.set()
    await asyncio.gather(*working)
    await without_mail.work()
    doubled = await without_mail.rows("""
        SELECT customer_id FROM contacts WHERE status = 'planned' GROUP BY customer_id, purpose HAVING count(*) > 1
    """)
    assert doubled == []
    planned = {c["customer_id"] for c in await without_mail.contacts(purpose="cadence", status="planned")}
    buyers = await without_mail.rows("SELECT DISTINCT customer_id FROM facts WHERE kind = 'purchase-recorded'")
    assert planned == {row["customer_id"] for row in buyers}
    gaps = await without_mail.rows("""
        SELECT customer_id FROM sequences WHERE last <> (
            SELECT count(*) FROM outbox WHERE convert_from(key, 'UTF8') = sequences.customer_id)
    """)
    assert gaps == []
