"""The plan: rhythm, win-back and welcome, within quiet hours and caps, the same every time."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.engagement.contacts.domain import Contact, Wanted
from services.engagement.contacts.planning import interval, plan, rhythm_of
from services.engagement.contacts.timing import is_quiet
from services.engagement.customers.domain import Customer
from tests.unit.engagement.mothers import HOUSE, NOW, ago, contact, customer, policies

RULES = policies()
CADENCE = RULES.cadence.policy


def planned(who: Customer, *contacts: Contact, now: datetime = NOW) -> dict[str, Wanted]:
    return {wanted.purpose: wanted for wanted in plan(who, contacts, RULES, now, HOUSE)}


@pytest.mark.parametrize(("tenure", "days"), [(0, 7), (90, 7), (91, 14), (180, 14), (181, 30), (900, 30)])
def test_tenure_sets_the_interval(tenure: int, days: int) -> None:
    assert interval(customer(first=tenure, last=tenure), CADENCE, NOW)[0] == timedelta(days=days)


def test_a_customers_own_wish_outweighs_his_way_of_buying_and_that_his_tenure() -> None:
    often: dict[str, Any] = {"orders": 10, "first": 300, "last": 1}
    assert interval(customer(**often, preferred_every_days=3), CADENCE, NOW)[1].code == "own-wish"
    assert interval(customer(**often), CADENCE, NOW)[1].code == "frequent-and-cheap"
    assert interval(customer(orders=2, first=300, last=1), CADENCE, NOW)[1].code == "tenure"


def test_frequent_and_cheap_is_every_30_days_and_rare_and_dear_every_90() -> None:
    cheap = rhythm_of(customer(orders=10, first=300, last=1), CADENCE)
    dear = rhythm_of(customer(orders=4, first=400, last=1, order_minor=2_000_000), CADENCE)
    assert cheap is not None
    assert cheap.every_days == 30
    assert dear is not None
    assert dear.every_days == 90


def test_neither_frequent_and_dear_nor_an_unknown_currency_is_a_rhythm() -> None:
    assert rhythm_of(customer(orders=10, first=300, last=1, order_minor=2_000_000), CADENCE) is None
    unpriced = policies(cadence={"dear_from": {"EUR": "100"}}).cadence.policy
    assert rhythm_of(customer(orders=10, first=300, last=1), unpriced) is None


def test_the_next_contact_falls_an_interval_after_the_last_purchase_or_contact() -> None:
    assert planned(customer(last=5))["cadence"].due_at == ago(5) + timedelta(days=7)
    made = contact(status="sent", made_at=ago(1), due_at=ago(1))
    assert planned(customer(last=5), made)["cadence"].due_at == ago(1) + timedelta(days=7)


def test_a_rhythm_that_lies_far_back_goes_on_in_its_turns_and_not_all_at_once() -> None:
    due_at = planned(customer(first=20, last=10))["cadence"].due_at
    assert due_at == ago(10) + timedelta(days=14)


def test_a_turn_that_was_suppressed_or_cancelled_is_not_planned_again() -> None:
    gone = contact(status="suppressed", due_at=ago(5) + timedelta(days=7))
    assert planned(customer(last=5), gone)["cadence"].due_at == ago(5) + timedelta(days=14)


def test_who_never_bought_has_no_rhythm() -> None:
    assert planned(customer(orders=0, registered_at=ago(30))) == {}


def test_a_customer_at_risk_gets_one_win_back_at_once() -> None:
    at_risk = customer(last=60, first=90, band="at-risk", raised=0)
    assert planned(at_risk)["win-back"].due_at == NOW
    made = contact(purpose="win-back", status="sent", made_at=NOW, due_at=NOW, episode=1)
    assert "win-back" not in planned(at_risk, made)


def test_another_win_back_waits_until_the_last_is_old_enough() -> None:
    again = customer(last=60, first=90, band="critical", raised=0, episode=2)
    made = contact(purpose="win-back", status="sent", made_at=ago(10), due_at=ago(10), episode=1)
    assert planned(again, made)["win-back"].due_at == ago(10) + timedelta(days=30)


def test_nobody_is_won_back_who_bought_since_or_is_no_longer_at_risk() -> None:
    assert "win-back" not in planned(customer(last=0, band="at-risk", raised=1))
    assert "win-back" not in planned(customer(last=60, first=90, band="low", raised=1))


def test_a_newcomer_is_welcomed_within_a_day_once() -> None:
    new = customer(orders=0, registered_at=ago(0.1))
    assert planned(new)["welcome"].due_at == NOW
    assert "welcome" not in planned(new, contact(purpose="welcome", status="cancelled"))
    assert "welcome" not in planned(customer(orders=0, registered_at=ago(1.1)))


def test_an_old_customer_whose_file_is_new_is_not_welcomed() -> None:
    assert "welcome" not in planned(customer(first=400, last=300, registered_at=ago(0)))


def test_win_back_takes_the_free_date_before_the_rhythm_does() -> None:
    both = customer(last=7 - 1 / 24, first=30, band="at-risk", raised=0)
    wanted = planned(both)
    assert wanted["win-back"].due_at == NOW
    assert wanted["cadence"].due_at > NOW + timedelta(hours=12)


def test_what_is_due_in_hand_or_set_by_staff_is_left_alone_and_counts() -> None:
    for fixed in (
        contact(due_at=ago(1)),
        contact(due_at=NOW + timedelta(days=3), pinned=True),
        contact(due_at=NOW + timedelta(days=3), task_id="t1"),
        contact(status="handing-over", made_at=NOW),
    ):
        assert "cadence" not in planned(customer(), fixed)
    today = contact(purpose="cadence", due_at=NOW)
    at_risk = customer(last=60, first=90, band="at-risk", raised=0)
    assert planned(at_risk, today)["win-back"].due_at.date() > NOW.date()


def test_the_preferred_channel_is_taken_where_the_purpose_may_use_it() -> None:
    assert planned(customer(preferred_channel="phone"))["cadence"].channel == "phone"
    assert planned(customer(preferred_channel="post"))["cadence"].channel == "email"


@st.composite
def situations(draw: st.DrawFn) -> tuple[Customer, list[Contact], datetime]:
    first = draw(st.floats(0, 900))
    who = customer(
        orders=draw(st.integers(0, 30)),
        first=first,
        last=draw(st.floats(0, first)),
        order_minor=draw(st.sampled_from([5_000, 900_000])),
        band=draw(st.sampled_from(["low", "at-risk", "critical"])),
        raised=draw(st.none() | st.floats(0, 60)),
        registered_at=draw(st.none() | st.just(ago(0.5))),
        time_zone=draw(st.sampled_from([None, "Europe/Berlin", "America/New_York", "Pacific/Apia"])),
        preferred_every_days=draw(st.none() | st.integers(1, 100)),
    )
    contacts = []
    for n, (purpose, days) in enumerate(
        draw(st.lists(st.tuples(st.sampled_from(["cadence", "win-back"]), st.floats(0, 60)), max_size=4))
    ):
        made: dict[str, Any] = {"id": f"k{n}", "purpose": purpose, "due_at": ago(days), "made_at": ago(days)}
        contacts.append(contact(**made, status="sent"))
    return who, contacts, NOW + timedelta(hours=draw(st.floats(0, 400)))


@given(situations())
def test_a_plan_never_breaks_quiet_hours_or_caps_and_is_the_same_again(
    situation: tuple[Customer, list[Contact], datetime],
) -> None:
    who, contacts, now = situation
    wanted = plan(who, contacts, RULES, now, HOUSE)
    assert wanted == plan(who, contacts, RULES, now, HOUSE)
    zone = ZoneInfo(who.file.time_zone or HOUSE)
    made = [c.made_at.astimezone(zone).date() for c in contacts if c.made_at]
    new = [w.due_at.astimezone(zone).date() for w in wanted]
    assert len({w.purpose for w in wanted}) == len(wanted)
    for w, day in zip(wanted, new, strict=True):
        assert w.due_at >= now
        assert not is_quiet(w.due_at, RULES.quiet_hours.policy, zone)
        assert sum(other == day for other in made + new) == 1
        for before in range(7):
            start = day - timedelta(days=before)
            assert sum(start <= other < start + timedelta(days=7) for other in made + new) <= 2


@given(situations())
def test_planning_again_before_anything_falls_due_changes_nothing(
    situation: tuple[Customer, list[Contact], datetime],
) -> None:
    who, contacts, now = situation
    wanted = plan(who, contacts, RULES, now, HOUSE)
    written = [
        contact(
            id=w.purpose, purpose=w.purpose, channel=w.channel, due_at=w.due_at, episode=w.episode, reasons=w.reasons
        )
        for w in wanted
    ]
    again = plan(who, [*contacts, *written], RULES, now, HOUSE)
    fixed = {w.purpose for w in written if w.is_fixed(now)}
    assert [(w.purpose, w.due_at) for w in again] == [
        (w.purpose, w.due_at) for w in wanted if w.purpose not in fixed
    ]
