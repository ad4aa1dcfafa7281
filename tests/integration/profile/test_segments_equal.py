"""Whatever the way to it, a customer stands where his facts put him: incrementally, by time, after merges, by night."""

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from importlib import import_module
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.profile.policies.application import in_force
from services.profile.purchases.domain import fold
from services.profile.purchases.lifecycle import stage
from services.profile.purchases.rfm import score
from shared.clock import SystemClock
from shared.db import execute, fetch
from shared.messaging import facts
from shared.messaging.records import Record
from tests.integration.profile.house import Profile, profile_over
from tests.integration.profile.test_identities import merge, undo
from tests.integration.profile.test_permutations import contact, derived
from tests.integration.profile.test_segments import HOUSE, bought, changes, live_until, places, placing
from tests.kit.builders import NOW, about_order, at, purchase, record, returned
from tests.kit.databases import TestDatabase

SERVICE = "profile"
RULE = {
    "any": [
        {"all": [{"fact": "order_count", "op": ">=", "value": 3}, {"fact": "rfm_r", "op": ">", "value": 3}]},
        {"fact": "days_since_first_purchase", "op": "in", "value": [7, 40]},
    ]
}
UNPLANNED = {"fact": "contact_planned", "op": "known", "value": False}
ENGAGED = {
    "any": [
        {"fact": "contacts_sent_90_days", "op": ">=", "value": 2},
        {"fact": "days_since_last_contact", "op": "in", "value": [7, 40]},
        {"all": [{"fact": "complaints", "op": ">=", "value": 2}, UNPLANNED]},
    ]
}
steps = st.one_of(
    st.tuples(st.just("buy"), st.integers(0, 2), st.integers(0, 400), st.booleans()),
    st.tuples(st.just("return"), st.integers(0, 2), st.integers(0, 5), st.just(False)),
    st.tuples(st.just("cancel"), st.integers(0, 2), st.integers(0, 5), st.just(False)),
    st.tuples(st.just("plan"), st.integers(0, 2), st.integers(0, 120), st.just(False)),
    st.tuples(st.just("send"), st.integers(0, 2), st.integers(0, 120), st.just(False)),
    st.tuples(st.just("complain"), st.integers(0, 2), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("wait"), st.just(0), st.integers(1, 120), st.just(False)),
    st.tuples(st.just("place"), st.just(0), st.just(0), st.just(False)),
)
examples = itertools.count()


@dataclass(frozen=True, order=True)
class Word:
    """On a contact: its sequence, whether it was sent (else it is planned), and when."""

    sequence: int
    sent: bool
    day: date


@dataclass
class Heard:
    """Of one customer."""

    complaints: int = 0
    contacts: dict[str, Word] = field(default_factory=dict)

    def told(self, customer: str, name: str, word: Word, days_ago: float) -> Record:
        """Takes down a word, and answers it as a record."""
        self.contacts[name] = max(word, self.contacts.get(name, word))
        data = derived(customer, word.sequence, days_ago, **contact(f"{customer}-{name}"))
        if word.sent:
            return record("contact-sent", {**data, "provider": "smtp"})
        return record("contact-planned", {**data, "due_at": NOW.isoformat()})

    def engaged(self, today: date) -> bool:
        """By the rule, counted here."""
        silences = [(today - word.day).days for word in self.contacts.values() if word.sent]
        planned = any(not word.sent for word in self.contacts.values())
        lately = sum(0 <= days < 90 for days in silences)
        return lately >= 2 or min(silences, default=0) in (7, 40) or (self.complaints >= 2 and not planned)


def complaint(customer: str, days_ago: float, **attributes: Any) -> Record:
    data = {"customer_id": customer, "feedback_id": f"f-{next(examples)}", "channel": "web", "kind": "complaint"}
    return record("feedback-received", {**data, "occurred_at": at(days_ago)}, **attributes)


PLACE = ("place", 0, 0, False)
# A second complaint, two contacts that leave the 90 days, and a contact that is planned again after it was sent.
COMPLAINED = [("buy", 0, 1, False), ("complain", 0, 2, False), PLACE, ("complain", 0, 1, False)]
LONG_AGO = [("send", 0, 0, False), ("send", 0, 1, False), PLACE, ("wait", 0, 95, False)]
AGAIN = [("send", 0, 5, False), PLACE, ("plan", 0, 3, False), ("send", 0, 6, False)]


@given(st.lists(steps, min_size=1, max_size=12))
@example(COMPLAINED)
@example(LONG_AGO)
@example(AGAIN)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_incremental_equals_recomputed_for_any_history(
    profile: Profile, history: list[tuple[str, int, int, bool]]
) -> None:
    if not (await profile.client.get("/segments/mixed")).is_success:
        for name, rule in (("mixed", RULE), ("engaged", ENGAGED)):
            assert (await profile.client.post("/segments", json={"name": name, "rule": rule})).is_success
    number = next(examples)
    who = [f"e{number}:{n}" for n in range(3)]
    placed: list[str] = []
    heard = {customer: Heard() for customer in who}
    for step, (act, customer, days, backfill) in enumerate(history):
        passed = (profile.clock.now() - NOW) / timedelta(days=1)
        if act == "buy":
            order = f"o-{number}-{len(placed)}"
            placed.append(order)
            data = purchase(who[customer], order, days_ago=days - passed, total="900")
            await profile.take(record("purchase-recorded", data, backfill=backfill))
        elif act in ("return", "cancel") and days < len(placed):
            topic = "purchase-returned" if act == "return" else "purchase-cancelled"
            about: Any = returned if act == "return" else about_order
            await profile.take(record(topic, about(placed[days], customer_id=who[customer], days_ago=-passed)))
        elif act in ("plan", "send"):
            # In no order: which word on a contact is the last is said by its sequence.
            word = Word((120 - days) * 100 + step + 1, act == "send", HOUSE.day(profile.clock.now() - timedelta(days)))
            await profile.take(heard[who[customer]].told(who[customer], str(days % 2), word, days - passed))
        elif act == "complain":
            heard[who[customer]].complaints += 1
            await profile.take(complaint(who[customer], days - passed, backfill=backfill))
        elif act == "wait":
            await live_until(profile, profile.clock.now() + timedelta(days=days))
        else:
            await placing(profile).run()
    await live_until(profile, profile.clock.now())
    await stand_where_their_facts_put_them(profile, who)
    for person, said in heard.items():
        expected = "in" if said.engaged(HOUSE.day(profile.clock.now())) else "out"
        assert (await places(profile, person)).get("engaged", "out") == expected
    async with profile.service.db.transaction() as tx:
        before = await fetch(tx, "SELECT * FROM placements ORDER BY customer_id, segment")
    assert await placing(profile).recompute() == 0
    async with profile.service.db.transaction() as tx:
        assert await fetch(tx, "SELECT * FROM placements ORDER BY customer_id, segment") == before


async def stand_where_their_facts_put_them(profile: Profile, who: list[str]) -> None:
    """Against the orders themselves, folded here."""
    async with profile.service.db.transaction() as tx:
        histories = await facts.orders_of(tx, who)
        policies = await in_force(tx)
        met = {row["customer_id"] for row in await fetch(tx, "SELECT customer_id FROM customers")}
    today = HOUSE.day(profile.clock.now())
    for customer in met & set(who):
        stood = await places(profile, customer)
        state = fold(histories[customer], HOUSE)
        scores = score(state, policies.rfm, HOUSE.currency, today)
        expected = f"{scores.r}-{scores.f}-{scores.m}" if scores else None
        assert (stood["lifecycle"], stood.get("rfm")) == (stage(state, policies.lifecycle, today), expected)
        since_first = (today - state.first_day).days if state.first_day else None
        mixed = (state.orders >= 3 and scores is not None and scores.r > 3) or since_first in (7, 40)
        assert stood.get("mixed", "out") == ("in" if mixed else "out")


async def test_the_night_puts_right_what_was_put_wrong(profile: Profile) -> None:
    await bought(profile, "a", 0)
    await bought(profile, "b", 5)
    await placing(profile).run()
    right = await places(profile, "a")
    async with profile.service.db.transaction() as tx:
        await execute(tx, "UPDATE placements SET class = 'lost' WHERE customer_id = 'a' AND segment = 'lifecycle'")
    assert await placing(profile).recompute() == 1
    assert await places(profile, "a") == right
    assert await placing(profile).recompute() == 0


async def test_the_night_comes_by_a_clock_that_goes_on_and_only_once(test_database: TestDatabase) -> None:
    service = profile_over(test_database, SystemClock())
    try:
        await service.intake.take([record("purchase-recorded", purchase("a"))])
        [job] = [job for job in service.runner.jobs if job.name == "recompute-placements"]
        due = await job.next_due()
        assert due is not None
        assert due <= SystemClock().now()
        await job.run()
        async with service.db.transaction() as tx:
            assert await fetch(tx, "SELECT 1 FROM placements WHERE customer_id = 'a'")
        due = await job.next_due()
        assert due is not None
        assert due > SystemClock().now()
    finally:
        await service.stop()


async def test_a_joined_id_stands_nowhere_its_survivor_stands_for_both_and_an_undo_parts_them(
    profile: Profile,
) -> None:
    await bought(profile, "a", 1)
    await bought(profile, "b", 2, 3)
    await placing(profile).run()
    apart = {who: await places(profile, who) for who in "ab"}
    made = await merge(profile, "b", "a")
    await placing(profile).run()
    assert await places(profile, "b") == {}
    assert (await places(profile, "a"))["rfm"] == "5-2-1"
    assert {data["cause"] for data in await changes(profile, customer_id="b", to=None)} == {"merge"}
    answered = (await profile.client.get("/customers/b/segments")).json()
    assert answered == (await profile.client.get("/customers/a/segments")).json()
    assert await placing(profile).recompute() == 0
    profile.clock.set(profile.clock.now() + timedelta(minutes=1))
    await undo(profile, made)
    await placing(profile).run()
    assert {who: await places(profile, who) for who in "ab"} == apart
    assert await placing(profile).recompute() == 0


async def test_contacts_of_all_ids_move_a_person_by_event_and_by_time_and_only_where_a_rule_asks(
    profile: Profile,
) -> None:
    async def waiting() -> bool:
        async with profile.service.db.transaction() as tx:
            return bool(await fetch(tx, "SELECT 1 FROM placement_marks"))

    rule = {"all": [{"fact": "days_since_last_contact", "op": ">=", "value": 30}, UNPLANNED]}
    await bought(profile, "web", 1)
    await bought(profile, "till", 2)
    await placing(profile).run()
    await profile.take(Heard().told("till", "1", Word(1, True, HOUSE.day(NOW)), 0))
    assert not await waiting()
    sent = {"rule": {"fact": "contacts_sent_90_days", "op": ">", "value": 0}}
    [move] = (await profile.client.post("/segments/silent/preview", json=sent)).json()["moves"]
    assert move["examples"] == ["till"]
    await profile.client.post("/segments", json={"name": "silent", "rule": rule})
    await merge(profile, "till", "web")
    await placing(profile).run()
    explanation = "/customers/web/segments/silent/explanation"
    why = (await profile.client.get(explanation)).json()
    assert (why["class"], why["next_class"], why["inputs"]) == (
        "out", "in", {"contact_planned": None, "days_since_last_contact": 0},
    )  # fmt: skip
    await live_until(profile, NOW + timedelta(days=31))
    [came] = await changes(profile, segment="silent")
    assert (came["customer_id"], came["to"], came["cause"]) == ("web", "in", "time")
    assert came["inputs"]["days_since_last_contact"] == 30
    assert datetime.fromisoformat(came["occurred_at"]) == HOUSE.start_of(HOUSE.day(NOW) + timedelta(days=30))
    await profile.take(Heard().told("till", "2", Word(2, False, HOUSE.day(NOW)), -31))
    assert await waiting()
    await placing(profile).run()
    why = (await profile.client.get(explanation)).json()
    assert (why["class"], why["inputs"]["contact_planned"], why["last_move"]["cause"]) == ("out", "win-back", "event")
    assert await placing(profile).recompute() == 0
    migration = import_module("services.profile.migrations.versions.0014_contacts")
    async with profile.service.db.transaction() as tx:
        kept = await fetch(tx, "SELECT contact_id, sent_at FROM contacts ORDER BY contact_id")
        await execute(tx, "UPDATE contacts SET sent_at = NULL")
        await execute(tx, migration.SENT)
        assert await fetch(tx, "SELECT contact_id, sent_at FROM contacts ORDER BY contact_id") == kept
    assert [row["sent_at"] for row in kept] == [NOW, None]


async def test_two_at_work_on_the_same_marks_publish_every_change_once(profile: Profile) -> None:
    for n in range(20):
        await bought(profile, f"c{n}", n)
    await asyncio.gather(*(placing(profile).run() for _ in range(4)))
    said = [(data["customer_id"], data["segment"]) for data in await changes(profile)]
    assert len(said) == len(set(said)) == 80


async def test_everybody_is_placed_again_from_where_it_stopped(profile: Profile) -> None:
    for n in range(4):
        await bought(profile, f"c{n}", n)
    await placing(profile).run()
    await profile.client.post("/segments", json={"name": "mixed", "rule": {"fact": "points", "op": ">=", "value": 0}})
    async with profile.service.db.transaction() as tx:
        await execute(tx, "UPDATE replacements SET after = 'c1', placed = 2")
    await placing(profile).run()
    members = (await profile.client.get("/segments/mixed/members")).json()["items"]
    assert [member["customer_id"] for member in members] == ["c2", "c3"]
    assert (await profile.client.get("/segments/mixed")).json()["placing"]["placed"] == 4


async def test_the_job_is_due_at_the_very_instant_of_the_next_change_and_then_no_more(profile: Profile) -> None:
    [place] = [job for job in profile.service.runner.jobs if job.name == "place"]
    assert await place.next_due() is None
    await bought(profile, "a", 0)
    assert await place.next_due() == profile.clock.now()
    await place.run()
    due = await place.next_due()
    assert due is not None
    assert HOUSE.day(due) - HOUSE.day(NOW) == timedelta(days=31)
    profile.clock.set(due - timedelta(microseconds=1))
    assert await place.run() == 0
    profile.clock.set(due)
    assert await place.run() == 1
    after = await place.next_due()
    assert after is not None
    assert after > due
