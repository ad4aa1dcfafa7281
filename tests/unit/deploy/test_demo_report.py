"""What the demo tells: a customer's story in sentences, and whether anything is wrong."""

import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from rich.console import Console

from deploy.demo.findings import Findings, ServiceFigures, Story
from deploy.demo.house_api import Account, AtRisk, Contact, Customer, Entry, Reason, Tier, Value, Verification
from deploy.demo.report import Run, as_json, show
from deploy.demo.story import FIRST, LAST, money, told
from shared.contracts.topics import SERVICES
from shared.contracts.types import Money
from tests.kit import builders

TAIPEI = ZoneInfo("Asia/Taipei")
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
RUN = Run(published=200, seconds=12.5, flowing_seconds=4.0, phases={"publishing": 1.0, "applying": 3.0})
CAUSE = {"source": "/shop/tw", "id": "e-1"}


def entry(kind: str, days_ago: float, **data: Any) -> Entry:
    at = NOW - timedelta(days=days_ago)
    own = {} if kind == "purchase-recorded" else {"customer_id": "pos:1", "sequence": 1, "caused_by": CAUSE}
    return Entry(kind, at, msgspec.Raw(msgspec.json.encode({**own, **data, "occurred_at": at})))


def bought(order_id: str, days_ago: float) -> Entry:
    return entry("purchase-recorded", days_ago, **builders.purchase(order_id=order_id, total="1203"))


def found(**changes: Any) -> Findings:
    figures = ServiceFigures(received=900, applied=200, missing=0, duplicates=0, dead_letters=0, derived=500)
    risky = AtRisk("tafeng:1", 0.873, "critical", Money(amount="4500", currency="TWD"), (Reason("62 days silent"),))
    soon = Contact("tafeng:1", "win-back", "staff", NOW + timedelta(days=1))
    late = Contact("tafeng:2", "cadence", "email", NOW + timedelta(days=8))
    story = Story(
        Customer("tafeng:1", Value(Money(amount="9000", currency="TWD"), 4), "dormant"),
        Account(300, 50, 350, Tier("silver")),
        [bought("o-1", 70)],
    )
    known: dict[str, Any] = {
        "services": dict.fromkeys(SERVICES, figures), "customers": 60, "points_issued": 12_345,
        "tiers": Counter({"none": 50, "silver": 10}), "ledger": Verification(ok=True, entries=400),
        "at_risk": [risky], "contacts": [soon, late], "story": story,
    }  # fmt: skip
    return Findings(**{**known, **changes})


def shown(findings: Findings) -> str:
    text = io.StringIO()
    show(Console(width=100, file=text), RUN, findings, NOW, TAIPEI)
    return text.getvalue()


def test_a_purchase_and_its_points_are_one_sentence() -> None:
    earned = entry(
        "points-earned", 3, order_id="o-1", points=120, available_from=NOW, programme_version=1
    )
    assert told([earned, bought("o-1", 3)], TAIPEI) == [("Thu 19 Nov", "bought 1 product for 1,203 TWD, 120 points")]


def test_a_story_is_told_from_its_beginning() -> None:
    risk = entry(
        "customer-at-risk", 1, probability=0.87, band="critical", horizon_days=90, model_version="m-1",
        value_at_risk={"amount": "10", "currency": "TWD"},
        reasons=[{"code": "silence", "text": "62 days since the last purchase", "contribution": 0.5}],
    )  # fmt: skip
    up = entry("tier-changed", 2, direction="up", to_tier="silver")
    assert [sentence for _, sentence in told([risk, up, bought("o-1", 3)], TAIPEI)] == [
        "bought 1 product for 1,203 TWD",
        "rose to silver",
        "critical, 87%: 62 days since the last purchase",
    ]


def test_a_warning_is_told_as_what_is_to_come() -> None:
    warning = entry("tier-changed", 2, direction="warning", from_tier="gold", to_tier="silver")
    assert [sentence for _, sentence in told([warning], TAIPEI)] == [
        "will fall from gold to silver without another purchase"
    ]


def test_what_a_purchase_led_to_in_the_same_instant_is_told_after_it() -> None:
    up = entry("tier-changed", 3, direction="up", to_tier="silver")
    assert [sentence for _, sentence in told([up, bought("o-1", 3)], TAIPEI)] == [
        "bought 1 product for 1,203 TWD",
        "rose to silver",
    ]


def test_the_middle_of_a_long_story_is_left_out_and_counted() -> None:
    lines = told([bought(f"o-{n}", n) for n in range(40)], TAIPEI)
    assert len(lines) == FIRST + 1 + LAST
    assert lines[FIRST] == ("", f"… {40 - FIRST - LAST} more …")
    assert lines[-1][0] == "Sun 22 Nov"


def test_of_a_contact_that_was_moved_the_last_time_is_told() -> None:
    about = {"contact_id": "c-1", "purpose": "win-back", "channel": "email", "policy_version": 1}
    first = entry("contact-planned", 2, due_at=NOW, **about)
    moved = entry("contact-planned", 1, due_at=NOW + timedelta(days=1), **about)
    assert told([moved, first], TAIPEI) == [("Sat 21 Nov", "win-back planned by email for Mon 23 Nov, 11:00")]


def test_a_kind_of_event_that_is_new_is_told_by_its_name() -> None:
    assert told([entry("subscription-started", 0)], TAIPEI) == [("Sun 22 Nov", "subscription started")]


@pytest.mark.parametrize(("amount", "text"), [("1203", "1,203 TWD"), ("1203.00", "1,203 TWD"), ("0.50", "0.50 TWD")])
def test_money_has_decimals_only_where_they_say_something(amount: str, text: str) -> None:
    assert money(Money(amount=amount, currency="TWD")) == text


def test_nothing_is_wrong_with_a_house_in_order() -> None:
    assert found().problems() == []


def test_missing_purchases_dead_letters_and_a_broken_ledger_are_problems() -> None:
    figures = ServiceFigures(received=1, applied=1, missing=7, duplicates=0, dead_letters=2, derived=0)
    problems = found(services={"loyalty": figures}, ledger=Verification()).problems()
    assert len(problems) == 3
    assert problems[0] == "loyalty has not applied 7 of the purchases that were published"


def test_the_json_object_has_the_promised_fields() -> None:
    told_ = as_json(RUN, found())
    assert told_["applied"] == dict.fromkeys(SERVICES, 200)
    assert told_["duplicates"] == dict.fromkeys(SERVICES, 0)
    expected = {
        "events_published": 200, "dead_letters": 0, "seconds": 12.5, "events_per_second": 50.0, "customers": 60,
        "points_issued": 12_345, "ledger_balanced": True, "at_risk": 1, "contacts_planned": 2,
    }  # fmt: skip
    assert expected.items() <= told_.items()


def test_the_report_shows_every_part_within_a_hundred_columns() -> None:
    text = shown(found())
    for part in ("12,345 points issued", "silver", "87%", "62 days silent", "win-back", "staff 1", "dormant, 4 orders"):
        assert part in text
    assert "cadence" not in text, "a contact in eight days is not within seven"
    assert max(map(len, text.splitlines())) <= 100


def test_a_house_without_customers_at_risk_is_told_so() -> None:
    assert "nobody, as far as" in shown(found(at_risk=[], story=None))


def test_a_problem_stands_in_the_report() -> None:
    assert "does not balance" in shown(found(ledger=Verification()))
    assert "DOES NOT BALANCE" in shown(found(ledger=Verification()))
