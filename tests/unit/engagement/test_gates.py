"""The gates at hand-off: what forbids outweighs what delays, and that what diverts to a person."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from services.engagement.contacts.gates import ByStaff, Postpone, Reach, Send, Situation, Suppress, judge
from services.engagement.contacts.planning import taken_by
from services.engagement.customers.domain import filed
from shared.contracts.customers import CustomerChanged
from shared.contracts.types import Cause
from tests.unit.engagement.mothers import HOUSE, NOW, ago, contact, customer, policies

RULES = policies()
REACHED = Reach("someone@example.org", True)


def situation(*made: Any, who: Any = None, **fields: Any) -> Situation:
    who = who or customer()
    given = {"complaint_open": False, "reach": REACHED, "now": NOW, **fields}
    return Situation(who, taken_by(who, made, RULES, HOUSE), **given)


def test_with_every_gate_open_it_is_sent() -> None:
    verdict, decisions = judge(contact(), situation(), RULES)
    assert verdict == Send("someone@example.org")
    assert all(decision.passed for decision in decisions)


@pytest.mark.parametrize("reach", [Reach(None, True), Reach("a@example.org", False), None])
def test_without_address_consent_or_provider_a_person_takes_over(reach: Reach | None) -> None:
    assert judge(contact(), situation(reach=reach), RULES)[0] == ByStaff()


def test_without_a_fallback_it_is_suppressed() -> None:
    route = {"channels": ["email"], "consent": "marketing", "fallback": "none"}
    names = ("cadence", "win-back", "welcome", "after-purchase", "service")
    strict = policies(channels={"purposes": dict.fromkeys(names, route)})
    assert judge(contact(), situation(reach=Reach("a@example.org", False)), strict)[0] == Suppress("no-consent")
    assert judge(contact(), situation(reach=Reach(None, True)), strict)[0] == Suppress("no-address")


@pytest.mark.parametrize("reach", [REACHED, None])
@pytest.mark.parametrize("purpose", ["cadence", "service"])
def test_nobody_writes_to_a_restricted_customer_and_no_person_takes_over(purpose: str, reach: Reach | None) -> None:
    cause = Cause(source="/roost/profile", id="1")
    said = CustomerChanged(customer_id="pos:1", sequence=9, caused_by=cause, occurred_at=NOW, restricted=True)
    at = situation(who=filed(customer(), said), reach=reach)
    verdict, decisions = judge(contact(purpose=purpose), at, RULES)
    assert verdict == Suppress("restricted")
    assert next(decision.gate for decision in decisions if not decision.passed) == "restricted"
    parted = msgspec.structs.replace(said, sequence=10, restricted=False)
    assert isinstance(judge(contact(), situation(who=filed(at.customer, parted)), RULES)[0], Send)


def test_in_quiet_hours_it_waits_until_morning() -> None:
    night = NOW + timedelta(hours=10)
    assert judge(contact(), situation(now=night), RULES)[0] == Postpone(NOW + timedelta(hours=21))


def test_a_full_day_delays_and_says_until_when() -> None:
    today = contact(status="sent", made_at=ago(0.1))
    verdict, decisions = judge(contact(), situation(today), RULES)
    caps = next(decision for decision in decisions if decision.gate == "caps")
    assert not caps.passed
    assert verdict == Postpone(NOW + timedelta(hours=21))
    assert caps.earliest_at == NOW + timedelta(hours=21)


def test_service_messages_are_outside_the_caps() -> None:
    today = contact(status="sent", made_at=ago(0.1))
    assert isinstance(judge(contact(purpose="service"), situation(today), RULES)[0], Send)


def test_an_open_complaint_stops_marketing_and_nothing_else() -> None:
    assert judge(contact(), situation(complaint_open=True), RULES)[0] == Suppress("complaint-open")
    assert isinstance(judge(contact(purpose="after-purchase"), situation(complaint_open=True), RULES)[0], Send)


def test_a_win_back_is_pointless_after_a_purchase_or_a_better_forecast() -> None:
    win_back = contact(purpose="win-back")
    bought = customer(last=0, band="at-risk", raised=1)
    better = customer(last=60, first=90, band="low", raised=1)
    assert judge(win_back, situation(who=bought), RULES)[0] == Suppress("bought")
    assert judge(win_back, situation(who=better), RULES)[0] == Suppress("risk-lowered")


def test_every_gate_leaves_a_decision_with_its_rule_version() -> None:
    at_risk = customer(last=60, first=90, band="at-risk", raised=0)
    decisions = judge(contact(purpose="win-back"), situation(who=at_risk), RULES)[1]
    gates = ["not-bought", "at-risk", "complaint", "quiet-hours", "caps", "consent", "address"]
    assert [decision.gate for decision in decisions] == gates
    assert {decision.policy_version for decision in decisions} == {1}
