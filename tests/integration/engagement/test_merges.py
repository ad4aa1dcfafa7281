"""Ids of one person are planned and contacted as one while they are joined, and each by itself once they are parted."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from services.engagement.customers import application as customers
from services.engagement.customers.domain import Customer
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
from tests.integration.engagement.outside import Mailbox, Profile
from tests.integration.engagement.test_intake import a_shop_s_week
from tests.kit.builders import NOW, purchase, record
from tests.kit.databases import Databases

SERVICE = "engagement"
OLD, NEW = "pos:old", "pos:new"
MERGED, UNMERGED = merged(OLD, NEW), merged(OLD, NEW, version=2)


def bought(customer: str, days_ago: float = 62) -> tuple[str, dict[str, Any]]:
    return "purchase-recorded", purchase(customer, days_ago=days_ago)


def merges_and_undos() -> list[Record]:
    """Of two merges, the one joined and parted, the other joined twice and parted twice."""
    events = [merged("pos:1", "pos:2", version=version) for version in (1, 2)]
    events += [merged("pos:2", "pos:3", version=version, merge_id="n") for version in (1, 2, 3, 4)]
    return [record(topic, data) for topic, data in events]


async def person(engagement: Engagement, customer: str) -> Customer:
    async with engagement.service.db.transaction() as tx:
        return (await customers.lock(tx, [customer]))[customer]


async def planned(engagement: Engagement) -> list[tuple[Any, ...]]:
    """What is open after all planning: (customer, purpose, minute when due, in a person's hands)."""
    engagement.clock.set(engagement.clock.now() + APART)
    await engagement.run("plan")
    return sorted(
        (c["customer_id"], c["purpose"], c["due_at"].replace(second=0), c["task_id"] is not None)
        for c in await engagement.contacts(status="planned")
    )


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_of_events_with_merges_and_undos_gives_the_state_without_them(
    databases: Databases, seed: int
) -> None:
    chance = random.Random(seed)
    events = a_shop_s_week()
    shuffled = [*events, *merges_and_undos()]
    shuffled += chance.choices(shuffled, k=12)
    chance.shuffle(shuffled)
    async with databases.fresh(SERVICE) as one, open_engagement(one) as without:
        await without.take_records(events)
        expected = await without.state_hash()
    async with databases.fresh(SERVICE) as other, open_engagement(other) as mixed:
        while shuffled:
            size = chance.randint(1, 7)
            await mixed.take_records(shuffled[:size])
            del shuffled[:size]
        assert await mixed.state_hash() == expected
        assert mixed.service.intake.counts["dead"] == 0


@pytest.mark.parametrize("seed", range(4))
async def test_after_merges_and_their_undos_the_plans_are_those_without_them(
    databases: Databases, seed: int
) -> None:
    chance = random.Random(seed)
    events = a_shop_s_week()
    chance.shuffle(events)
    # Forecasts last: a purchase heard of after them ends a win-back, so that plans know arrival.
    events.sort(key=lambda event: event.topic in ("customer-at-risk", "risk-lowered"))
    places = sorted(chance.choices(range(len(events) + 1), k=6))
    joining = merges_and_undos()
    chance.shuffle(joining)
    async with databases.fresh(SERVICE) as one, open_engagement(one) as without:
        for event in events:
            await without.take_records([event])
        expected = await planned(without)
    async with databases.fresh(SERVICE) as other, open_engagement(other) as mixed:
        for place in range(len(events) + 1):
            while places and places[0] == place:
                await mixed.take_records([joining.pop()])
                places.pop(0)
                if chance.random() < 0.5:
                    await mixed.run("plan")
            await mixed.take_records(events[place : place + 1])
        assert await planned(mixed) == expected
        assert expected != []


@pytest.mark.parametrize("seed", range(4))
async def test_a_person_has_bought_what_all_his_ids_bought_and_is_planned_once(
    databases: Databases, seed: int
) -> None:
    chance = random.Random(seed)
    events = [event for event in a_shop_s_week() if event.topic.startswith("purchase")]
    joining = [record(*merged("pos:1", "pos:2")), record(*merged("pos:2", "pos:3", merge_id="n"))]
    shuffled = chance.sample([*events, *joining], len(events) + 2)
    async with databases.fresh(SERVICE) as one, open_engagement(one) as joined:
        for event in shuffled:
            await joined.take_records([event])
        as_one = await person(joined, "pos:1")
        plans = await planned(joined)
    renamed = []
    for event in events:
        envelope = msgspec.json.decode(event.value or b"")
        envelope["data"]["customer_id"] = "pos:3"
        renamed.append(Record(event.topic, b"pos:3", msgspec.json.encode(envelope)))
    async with databases.fresh(SERVICE) as other, open_engagement(other) as alone:
        await alone.take_records(renamed)
        assert as_one.purchases == (await person(alone, "pos:3")).purchases
        assert plans == await planned(alone)
        assert [(customer, purpose) for customer, purpose, *_ in plans] == [("pos:3", "cadence")]


async def test_what_is_planned_of_the_old_id_is_taken_back_with_its_task_and_the_survivor_is_planned(
    without_mail: Engagement,
) -> None:
    await without_mail.take(bought(OLD), bought(NEW, 70))
    await without_mail.take(at_risk(OLD))
    await without_mail.work()
    await without_mail.take(MERGED)
    assert {(c["status"], c["closed_reason"]) for c in await without_mail.contacts(customer_id=OLD)} == {
        ("cancelled", "merged")
    }
    suppressed = [data for _, data in await without_mail.published("contact-suppressed")]
    assert {(data["customer_id"], data["purpose"], data["reason"]) for data in suppressed} == {
        (OLD, "win-back", "merged"), (OLD, "cadence", "merged"),
    }  # fmt: skip
    [task] = await without_mail.rows("SELECT * FROM tasks")
    assert (task["status"], task["outcome"]) == ("cancelled", "merged")
    [win_back] = await without_mail.contacts(purpose="win-back", status="planned")
    assert (win_back["customer_id"], win_back["due_at"]) == (NEW, NOW)
    assert "62 days since" in win_back["reasons"]
    [applied] = [data for _, data in await without_mail.published("merge-applied")]
    assert (applied["customer_id"], applied["merge_id"], applied["service"]) == (NEW, "m", "engagement")


async def test_a_person_at_risk_under_both_ids_gets_one_mail_to_the_survivor_s_address(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    profile.addresses.update({OLD: "old@example.org", NEW: "new@example.org"})
    await engagement.take(bought(OLD), bought(NEW))
    await engagement.take(at_risk(OLD), at_risk(NEW))
    await engagement.take(MERGED)
    await engagement.take(at_risk(OLD, days_ago=-0.01))
    await engagement.pass_time(timedelta(days=6))
    assert [message["To"] for message in mailbox.taken] == ["new@example.org"]
    assert {item["customer_id"] for body in profile.asked for item in body["items"]} == {NEW}


async def test_who_was_won_back_under_the_old_id_is_not_won_back_again_for_the_same_risk(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    profile.addresses.update({OLD: "old@example.org", NEW: "new@example.org"})
    await engagement.take(bought(OLD), bought(NEW))
    await engagement.take(at_risk(OLD))
    await engagement.run("hand-over")
    await engagement.take(MERGED)
    assert await engagement.contacts(purpose="win-back", customer_id=NEW) == []
    # Churn says it anew of the survivor: that is another risk, and too soon.
    await engagement.take(at_risk(NEW))
    [contact] = await engagement.contacts(purpose="win-back", customer_id=NEW)
    assert contact["due_at"] >= NOW + timedelta(days=30)
    assert len(mailbox.taken) == 1


async def test_contacts_made_under_the_old_id_count_under_the_survivor_s_caps_and_cadence(
    without_mail: Engagement,
) -> None:
    await without_mail.take(bought(OLD, 27.9), bought(NEW, 200))
    await without_mail.pass_time(timedelta(days=1))
    async with without_mail.client() as http:
        [task] = [task for task in (await http.get("/tasks")).json()["items"] if task["customer_id"] == OLD]
        assert (await http.post(f"/tasks/{task['id']}/complete", json={})).status_code == 200
    made = without_mail.clock.now()
    await without_mail.take(MERGED)
    await without_mail.take(at_risk(NEW, days_ago=-1))
    [win_back] = await without_mail.contacts(purpose="win-back", status="planned")
    assert win_back["customer_id"] == NEW
    local = [at + timedelta(hours=8) for at in (made, win_back["due_at"])]
    assert (local[1].date() - local[0].date()).days == 1
    [cadence] = await without_mail.contacts(purpose="cadence", status="planned")
    assert cadence["due_at"] >= made + timedelta(days=7)


async def test_a_mail_in_flight_under_the_old_id_counts_and_one_that_comes_back_is_left_to_the_survivor(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    profile.addresses.update({OLD: "old@example.org", NEW: "new@example.org"})
    await engagement.take(bought(OLD), bought(NEW))
    await engagement.take(at_risk(OLD))
    in_flight = "UPDATE contacts SET status = 'handing-over', made_at = due_at WHERE purpose = 'win-back' RETURNING id"
    assert len(await engagement.rows(in_flight)) == 1
    await engagement.take(MERGED)
    assert await engagement.contacts(purpose="win-back", customer_id=NEW) == []
    came_back = "UPDATE contacts SET status = 'planned', made_at = NULL WHERE status = 'handing-over' RETURNING id"
    assert len(await engagement.rows(came_back)) == 1
    assert mailbox.taken == []
    await engagement.run("hand-over")
    [old] = await engagement.contacts(purpose="win-back", customer_id=OLD)
    assert (old["status"], old["closed_reason"]) == ("cancelled", "merged")
    await engagement.work()
    assert [message["To"] for message in mailbox.taken] == ["new@example.org"]


async def test_forecasts_and_purchases_of_either_id_concern_the_person(without_mail: Engagement) -> None:
    await without_mail.take(bought(OLD), bought(NEW), MERGED)
    await without_mail.take(at_risk(OLD))
    [contact] = await without_mail.contacts(purpose="win-back")
    assert (contact["customer_id"], contact["status"]) == (NEW, "planned")
    await without_mail.take(risk_lowered(OLD))
    [contact] = await without_mail.contacts(purpose="win-back")
    assert (contact["status"], contact["closed_reason"]) == ("cancelled", "risk-lowered")
    await without_mail.take(at_risk(OLD))
    await without_mail.take(bought(OLD, -0.01))
    won_back = await without_mail.contacts(purpose="win-back", customer_id=NEW)
    assert sorted(contact["closed_reason"] for contact in won_back) == ["bought", "risk-lowered"]
    assert await without_mail.contacts(customer_id=OLD) == []


async def test_after_the_undo_each_is_planned_on_his_own_facts_again(without_mail: Engagement) -> None:
    await without_mail.take(bought(OLD), bought(NEW, 5))
    await without_mail.take(at_risk(OLD))
    before = await planned(without_mail)
    await without_mail.take(MERGED)
    await without_mail.work()
    [task] = await without_mail.rows("SELECT customer_id FROM tasks WHERE status = 'open'")
    assert task["customer_id"] == NEW
    await without_mail.take(UNMERGED)
    assert await without_mail.rows("SELECT customer_id FROM tasks WHERE status = 'open'") == []
    assert {(c, purpose) for c, purpose, *_ in await planned(without_mail)} == {(c, p) for c, p, *_ in before}
    assert {c for c, purpose, *_ in before if purpose == "win-back"} == {OLD}


async def test_a_win_back_made_for_the_other_id_s_risk_answers_no_risk_of_the_survivor_s_own(
    without_mail: Engagement,
) -> None:
    await without_mail.take(bought(OLD), bought(NEW))
    at_last = at_risk(NEW)
    await without_mail.take(MERGED, at_risk(OLD))
    await without_mail.take(UNMERGED)
    await without_mail.take(at_last)
    assert {c["customer_id"] for c in await without_mail.contacts(purpose="win-back", status="planned")} == {OLD, NEW}


@pytest.mark.parametrize("event", [bought(OLD, -0.01), complaint(OLD)], ids=["purchase", "complaint"])
async def test_a_win_back_that_ended_for_the_other_id_s_sake_is_planned_again_after_the_undo(
    without_mail: Engagement, event: tuple[str, dict[str, Any]]
) -> None:
    await without_mail.take(bought(OLD), bought(NEW), MERGED)
    without_mail.clock.set(NOW + timedelta(hours=12))
    await without_mail.take(at_risk(NEW, days_ago=0.01))
    await without_mail.take(event)
    await without_mail.pass_time(timedelta(hours=12))
    assert await without_mail.contacts(purpose="win-back", status="planned") == []
    await without_mail.take(UNMERGED)
    [contact] = await without_mail.contacts(purpose="win-back", status="planned")
    assert contact["customer_id"] == NEW


async def test_a_no_or_a_complaint_under_any_id_holds_for_the_person(without_mail: Engagement) -> None:
    await without_mail.take(bought(OLD), bought(NEW), consent(OLD, channel="staff", granted=False))
    await without_mail.take(consent(NEW, channel="staff"), MERGED)
    await without_mail.take(at_risk(NEW))
    await without_mail.work()
    [contact] = await without_mail.contacts(purpose="win-back")
    assert (contact["status"], contact["closed_reason"]) == ("suppressed", "no-address")
    await without_mail.take(complaint(OLD))
    await without_mail.take(at_risk(NEW))
    await without_mail.pass_time(timedelta(days=1))
    await without_mail.pass_time(timedelta(days=6))
    assert "complaint-open" in {c["closed_reason"] for c in await without_mail.contacts(customer_id=NEW)}


async def test_the_survivor_s_file_stands_and_the_other_s_fills_what_it_leaves_open(without_mail: Engagement) -> None:
    await without_mail.take(registered(OLD, days_ago=300, time_zone="Asia/Tokyo", owner="staff-7"))
    await without_mail.take(registered(NEW, days_ago=9), changed(NEW, time_zone="Europe/Paris"), MERGED)
    joined = await person(without_mail, OLD)
    assert (joined.file.time_zone, joined.file.owner) == ("Europe/Paris", "staff-7")
    assert joined.known_since == NOW - timedelta(days=300)


async def test_either_id_answers_the_person_s_contacts_and_decisions_to_both_his_tokens(
    without_mail: Engagement,
) -> None:
    await without_mail.take(bought(OLD))
    await without_mail.take(at_risk(OLD))
    await without_mail.work()
    await without_mail.take(MERGED)
    await without_mail.work()
    for token in (OLD, NEW):
        async with without_mail.client("engagement:read", token) as http:
            contacts = [(await http.get(f"/customers/{id}/next-contacts")).json()["items"] for id in (OLD, NEW)]
            decisions = [(await http.get(f"/customers/{id}/decisions")).json()["items"] for id in (OLD, NEW)]
            assert contacts[0] == contacts[1]
            assert {one["customer_id"] for one in contacts[0]} == {NEW}
            assert decisions[0] == decisions[1]
            assert len({one["contact_id"] for one in decisions[0]}) == 2
            [other] = await without_mail.contacts(purpose="win-back", customer_id=OLD)
            assert (await http.get(f"/contacts/{other['id']}")).status_code == 200
    async with without_mail.client("engagement:read", "pos:3") as http:
        assert (await http.get(f"/customers/{OLD}/decisions")).status_code == 404


async def test_merges_beside_planning_hand_over_and_staff_leave_one_plan_a_person(without_mail: Engagement) -> None:
    chance = random.Random(3)
    versions = [0] * 10
    batches = []
    for _ in range(25):
        events = []
        for _ in range(8):
            pair = chance.randrange(10)
            customer = f"pos:{pair}{chance.choice('ab')}"
            if chance.random() < 0.4:
                versions[pair] += 1
                events.append(merged(f"pos:{pair}a", f"pos:{pair}b", version=versions[pair], merge_id=f"m{pair}"))
            else:
                events.append(chance.choice([bought(customer, chance.uniform(0, 60)), at_risk(customer)]))
        batches.append([record(topic, data) for topic, data in events])
    finished = asyncio.Event()

    async def repeat(job: str) -> None:
        while not finished.is_set():
            await without_mail.run(job)

    async def complete() -> None:
        async with without_mail.client() as http:
            while not finished.is_set():
                for task in (await http.get("/tasks")).json()["items"]:
                    answer = await http.post(f"/tasks/{task['id']}/complete", json={})
                    assert answer.status_code in (200, 409)

    working = [asyncio.create_task(repeat(job)) for job in ("plan", "hand-over")]
    working.append(asyncio.create_task(complete()))
    for batch in batches:
        await without_mail.take_records(batch)
    finished.set()
    await asyncio.gather(*working)
    await without_mail.pass_time(APART)
    joined = {f"pos:{pair}a" for pair, version in enumerate(versions) if version % 2 == 1}
    plans = await without_mail.contacts(status="planned")
    assert joined.isdisjoint(c["customer_id"] for c in plans)
    buyers = await without_mail.rows("SELECT DISTINCT customer_id FROM facts WHERE kind = 'purchase-recorded'")
    persons = {id[:-1] + "b" if id in joined else id for id in (row["customer_id"] for row in buyers)}
    assert {c["customer_id"] for c in plans if c["purpose"] == "cadence"} == persons
