"""Open complaints, points and contacts in the view, by events that may come in any order, in any batches, and twice."""

import random
from importlib import import_module
from typing import Any

from shared.db import execute, fetch
from shared.messaging.records import Record
from tests.integration.profile.house import Profile, in_batches, token
from tests.integration.profile.test_identities import merge
from tests.integration.profile.test_permutations import contact, derived
from tests.kit.builders import at, record

SERVICE = "profile"


def complains(customer: str, feedback: str) -> Record:
    said = {"customer_id": customer, "feedback_id": f"{customer}-{feedback}", "channel": "web", "kind": "complaint"}
    return record("feedback-received", {**said, "occurred_at": at(4)})


def about(what: str, customer: str, sequence: int, complaint: str, **fields: Any) -> Record:
    return record(f"complaint-{what}", derived(customer, sequence, 1, complaint_id=f"{customer}-{complaint}", **fields))


def story(customer: str) -> list[Record]:
    """Feedback a is closed, b resolved and waiting, c was never opened, d opened alone, closed and reopened, e opened
    alone and closed again."""
    return [
        *(complains(customer, one) for one in "abc"),
        about("opened", customer, 1, "ca", feedback_id=f"{customer}-a"),
        about("opened", customer, 2, "cb", feedback_id=f"{customer}-b"),
        about("resolved", customer, 3, "ca", remedy="refund"),
        about("closed", customer, 4, "ca", by="customer"),
        about("resolved", customer, 5, "cb"),
        about("opened", customer, 6, "cd"),
        about("closed", customer, 7, "cd", by="silence"),
        about("reopened", customer, 8, "cd", reason="again"),
        about("opened", customer, 9, "ce"),
        about("closed", customer, 10, "ce", by="staff"),
        about("reopened", customer, 11, "ce"),
        about("closed", customer, 12, "ce", by="staff"),
    ]


async def test_a_complaint_is_open_until_its_last_word_closes_it_in_whatever_order_they_come(profile: Profile) -> None:
    for seed in range(25):
        dice, customer = random.Random(seed), f"pos:{seed}"
        said = story(customer)
        said += dice.choices(said, k=6)
        dice.shuffle(said)
        for batch in in_batches(said, dice.choice([1, 3, 20])):
            await profile.take(*batch)
        assert (await profile.view(customer))["open_complaints"] == 3, f"seed {seed}"
    async with profile.service.db.transaction() as tx:
        rows = await fetch(tx, "SELECT begun_as, id FROM complaints WHERE open")
    assert {(row["begun_as"], row["id"].partition("-")[2]) for row in rows} == {
        ("feedback", "c"), ("complaint", "cb"), ("complaint", "cd"),
    }  # fmt: skip


async def test_open_complaints_are_those_of_all_ids_and_are_exported(profile: Profile) -> None:
    await profile.take(*story("old"), complains("new", "a"))
    await merge(profile, "old", "new")
    assert (await profile.view("new"))["open_complaints"] == 4
    await profile.take(about("closed", "old", 13, "cd", by="staff"))
    assert (await profile.view("new"))["open_complaints"] == 3
    exported = (await profile.client.get("/customers/new/export")).json()["complaints"]
    assert sum(one["open"] for one in exported) == 3
    assert {one["customer_id"] for one in exported} == {"old", "new"}


async def test_complaints_from_before_are_open_as_events_would_have_them(profile: Profile) -> None:
    praise = {"customer_id": "a", "feedback_id": "p", "channel": "web", "kind": "praise", "occurred_at": at(1)}
    await profile.take(*(complains(who, one) for who in "ab" for one in "xy"), record("feedback-received", praise))
    kept = "SELECT * FROM complaints ORDER BY id", "SELECT customer_id, open_complaints FROM standings ORDER BY 1"
    async with profile.service.db.transaction() as tx:
        told = [await fetch(tx, sql) for sql in kept]
        await execute(tx, "DELETE FROM complaints")
        await execute(tx, "UPDATE standings SET open_complaints = 0")
        migration = import_module("services.profile.migrations.versions.0015_forecasts")
        for statement in migration.OPENED.split(";\n")[:2]:
            await execute(tx, statement)
        assert [await fetch(tx, sql) for sql in kept] == told
    assert len(told[0]) == 4


async def test_points_that_were_spent_are_gone_until_it_is_rolled_back_in_whatever_order_it_comes(
    profile: Profile,
) -> None:
    earned = {"order_id": "o", "programme_version": 1, "available_from": at(0)}
    for seed, customer in enumerate(("a", "b", "c", "d")):
        said = [
            record("points-earned", derived(customer, 1, 9, points=50, **earned)),
            record("points-spent", derived(customer, 2, 8, points=30, redemption_id="r")),
            record("points-spent", derived(customer, 3, 7, points=15, redemption_id="s")),
            record("points-spent", derived(customer, 4, 6, points=15, redemption_id="s", rolled_back=True)),
        ]
        random.Random(seed).shuffle(said)
        for one in [*said, *said]:
            await profile.take(one)
        assert (await profile.view(customer))["points"] == 20


async def test_a_contact_counts_as_sent_when_it_was_handed_over_whatever_is_heard_first(profile: Profile) -> None:
    for seed in range(6):
        who = contact(f"c-{seed}")
        said = [
            record("contact-planned", derived("c", 1, 9, **who, due_at=at(1))),
            record("contact-sent", derived("c", 2, 8, **who, provider="smtp")),
            record("contact-delivered", derived("c", 3, 7, **who, provider="smtp")),
            record("contact-answered", derived("c", 4, 6, **who, how="replied")),
        ]
        random.Random(seed).shuffle(said)
        for one in said:
            await profile.take(one)
    failed = contact("failed")
    await profile.take(record("contact-failed", derived("c", 3, 7, **failed, provider="smtp", reason="no-mailbox")))
    await profile.take(record("contact-sent", derived("c", 2, 8, **failed, provider="smtp")))
    async with profile.service.db.transaction() as tx:
        rows = await fetch(tx, "SELECT status, sent_at, due_at FROM contacts ORDER BY contact_id")
    assert [(row["status"], row["sent_at"] and row["sent_at"].isoformat()) for row in rows] == [
        *[("answered", "2026-11-12T04:00:00+00:00")] * 6, ("failed", None),
    ]  # fmt: skip
    assert (await profile.view("c"))["next_contact"] is None


async def test_the_story_tells_of_promises_surveys_coupons_rewards_and_referrals(profile: Profile) -> None:
    promise = {"promise_id": "p", "due_at": at(0)}
    told: dict[str, dict[str, Any]] = {
        "promise-made": promise, "promise-broken": promise, "promise-kept": promise,
        "survey-answered": {"survey_id": "s", "response_id": "r", "recommends": 9},
        "coupon-issued": {"coupon_id": "k"}, "coupon-redeemed": {"coupon_id": "k", "order_id": "o"},
        "reward-redeemed": {"redemption_id": "r", "reward_id": "cup", "kind": "gift", "points": 30},
        "referral-qualified": {"referral_id": "f", "role": "referrer"},
        "points-expiring": {"points": 30, "expires_at": at(-20)},
        "reward-overdue": {"redemption_id": "r", "reward_id": "cup"},
    }  # fmt: skip
    said = [record(topic, derived("a", n, n, **data)) for n, (topic, data) in enumerate(told.items(), 1)]
    await profile.take(*said, *said[:3])
    entries = (await profile.client.get("/customers/a/timeline", params={"kinds": ",".join(told)})).json()["items"]
    assert [entry["kind"] for entry in entries] == list(told)
    assert entries[3]["data"]["recommends"] == 9


async def test_points_near_their_expiry_are_told_in_the_story_and_change_no_points(profile: Profile) -> None:
    earned = derived("a", 1, 9, order_id="o", points=50, available_from=at(9), programme_version=1)
    near = derived("a", 2, 1, points=30, expires_at=at(-9))
    await profile.take(record("points-earned", earned), record("points-expiring", near))
    assert (await profile.view("a"))["points"] == 50
    (entry,) = await timeline(profile, "points-expiring", headers=token("profile:read", "a"))
    assert entry["data"]["points"] == 30


async def test_what_is_overdue_for_a_customer_is_told_to_staff_alone(profile: Profile) -> None:
    redeemed = derived("a", 1, 9, redemption_id="r", reward_id="cup", kind="gift", points=30)
    overdue = derived("a", 2, 1, redemption_id="r", reward_id="cup")
    await profile.take(record("reward-redeemed", redeemed), record("reward-overdue", overdue))
    both = "reward-redeemed,reward-overdue"
    assert [entry["kind"] for entry in await timeline(profile, both)] == ["reward-overdue", "reward-redeemed"]
    own = token("profile:read", "a")
    assert [entry["kind"] for entry in await timeline(profile, both, headers=own)] == ["reward-redeemed"]
    assert await timeline(profile, "reward-overdue", headers=own) == []


async def timeline(profile: Profile, kinds: str, **asked: Any) -> list[dict[str, Any]]:
    answer = await profile.client.get("/customers/a/timeline", params={"kinds": kinds}, **asked)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items
