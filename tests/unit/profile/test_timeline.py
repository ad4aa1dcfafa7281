"""Standings and contacts come out the same whatever the order of arrival."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.profile.timeline.domain import (
    ComplaintWord,
    Forecast,
    Standing,
    complaint_news,
    contact_news,
    standings,
)
from shared.contracts.behaviour import FeedbackReceived
from shared.contracts.complaints import ComplaintClosed, ComplaintOpened, ComplaintReopened
from shared.contracts.contacts import ContactAnswered, ContactDelivered, ContactPlanned, ContactSent, ContactSuppressed
from shared.contracts.points import PointsEarned, PointsExpired, PointsReversed, PointsSpent, TierChanged
from shared.contracts.risk import ChurnScored, CustomerAtRisk, Reason, RiskLowered
from shared.contracts.types import Cause, Money, Struct

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DERIVED: dict[str, Any] = {"customer_id": "c", "caused_by": Cause(source="/s", id="1"), "occurred_at": NOW}
SILENCE = Reason(code="silence", text="62 days since the last purchase", contribution=0.3)


def at_risk(sequence: int, probability: float = 0.7) -> CustomerAtRisk:
    return CustomerAtRisk(
        **DERIVED, sequence=sequence, probability=probability, band="at-risk", horizon_days=90,
        value_at_risk=Money.of(100, "TWD"), reasons=(SILENCE,), model_version="m1",
    )  # fmt: skip


def scored(sequence: int, probability: float) -> ChurnScored:
    return ChurnScored(
        **DERIVED, sequence=sequence, probability=probability, band="at-risk", model_version=f"m{sequence}",
        lifetime_value=Money.of(sequence * 100, "TWD"), lifetime_days=365, expected_purchases=1.5, horizon_days=90,
    )  # fmt: skip


def earned(points: int) -> PointsEarned:
    return PointsEarned(**DERIVED, sequence=1, order_id="o", points=points, available_from=NOW, programme_version=1)


def planned(sequence: int, contact: str = "k", due: datetime = NOW) -> ContactPlanned:
    return ContactPlanned(
        **DERIVED, sequence=sequence, contact_id=contact, purpose="win-back", channel="email", policy_version=1,
        due_at=due,
    )  # fmt: skip


def suppressed(sequence: int) -> ContactSuppressed:
    return ContactSuppressed(
        **DERIVED, sequence=sequence, contact_id="k", purpose="win-back", channel="email", policy_version=1,
        reason="bought",
    )  # fmt: skip


STORY: list[Struct] = [
    earned(50),
    PointsReversed(**DERIVED, sequence=2, order_id="o", points=20, programme_version=1),
    PointsExpired(**DERIVED, sequence=3, points=5),
    PointsSpent(**DERIVED, sequence=4, redemption_id="r", points=12),
    PointsSpent(**DERIVED, sequence=5, redemption_id="s", points=7),
    PointsSpent(**DERIVED, sequence=6, redemption_id="s", points=7, rolled_back=True),
    FeedbackReceived(customer_id="c", feedback_id="f", channel="web", kind="complaint", occurred_at=NOW),
    FeedbackReceived(
        customer_id="c", feedback_id="g", channel="web", kind="praise", occurred_at=NOW - timedelta(days=1)
    ),
    TierChanged(**DERIVED, sequence=4, direction="up", to_tier="silver"),
    TierChanged(**DERIVED, sequence=5, direction="down", from_tier="silver"),
    TierChanged(**DERIVED, sequence=6, direction="up", to_tier="gold"),
    TierChanged(**DERIVED, sequence=7, direction="warning", from_tier="gold", to_tier="silver", at=NOW),
    at_risk(1),
    scored(2, 0.8),
    scored(3, 0.75),
    at_risk(4, 0.74),
]


@given(st.permutations(STORY))
def test_a_standing_is_the_same_in_any_order(story: list[Struct]) -> None:
    assert standings(story) == {
        "c": Standing(
            points=13, complaints=1, tier_sequence=6, tier="gold", risk_sequence=4, risk_band="at-risk",
            risk_probability=0.74, risk_scored_at=NOW, reasons_sequence=4, scored_sequence=3, reasons=(SILENCE,),
            forecast=Forecast(Money.of(300, "TWD"), 365, 1.5, 90, "m3", NOW), feedback_at=NOW,
        )
    }  # fmt: skip


@given(st.permutations([11, 15, 17]))
def test_a_contact_was_handed_over_when_it_was_last_in_whatever_order_that_is_told(hours: list[int]) -> None:
    said = [
        ContactSent(
            **(DERIVED | {"occurred_at": NOW + timedelta(hours=hour)}), sequence=hour, contact_id="k",
            purpose="win-back", channel="email", policy_version=1, provider="smtp",
        )
        for hour in hours
    ]  # fmt: skip
    assert contact_news(said)["k"].handed_at == NOW + timedelta(hours=17)


def test_a_lowered_risk_takes_the_band_it_falls_to() -> None:
    lowered = RiskLowered(
        **DERIVED, sequence=2, from_band="at-risk", to_band="low", cause="purchase", probability=0.1,
        model_version="m1",
    )  # fmt: skip
    standing = standings([lowered, at_risk(1)])["c"]
    assert (standing.risk_band, standing.risk_probability) == ("low", 0.1)


def test_a_score_without_a_forecast_takes_the_one_before_away() -> None:
    none = ChurnScored(**DERIVED, sequence=2, probability=0.9, band="low", model_version="m1")
    assert standings([scored(1, 0.5)])["c"].forecast is not None
    assert standings([none, scored(1, 0.5)])["c"].forecast is None


def test_events_that_say_nothing_of_a_standing_leave_none() -> None:
    assert standings([planned(1)]) == {}


@given(st.permutations([planned(1), suppressed(2), planned(3, due=NOW.replace(year=2027)), planned(9, "other")]))
def test_the_last_word_on_a_contact_wins(said: list[Struct]) -> None:
    news = contact_news(said)
    assert (news["k"].status, news["k"].due_at) == ("planned", NOW.replace(year=2027))
    assert news["other"].due_at == NOW


def test_a_suppressed_contact_is_no_longer_due() -> None:
    news = contact_news([suppressed(2), planned(1)])["k"]
    assert (news.status, news.due_at) == ("suppressed", None)


HANDED: dict[str, Any] = {"contact_id": "k", "purpose": "win-back", "channel": "email", "policy_version": 1}


@given(
    st.permutations(
        [
            planned(1),
            ContactSent(**DERIVED | {"occurred_at": NOW.replace(hour=3)}, sequence=2, **HANDED, provider="smtp"),
            ContactDelivered(**DERIVED, sequence=3, **HANDED, provider="smtp"),
            ContactAnswered(**DERIVED, sequence=4, **HANDED, how="replied"),
        ]
    )
)
def test_a_contact_that_was_answered_was_sent_when_it_was_handed_over(said: list[Struct]) -> None:
    news = contact_news(said)["k"]
    assert (news.status, news.handed_at, news.due_at) == ("answered", NOW.replace(hour=3), None)


OF: dict[str, Any] = {**DERIVED, "complaint_id": "cp"}


@given(
    st.permutations(
        [
            FeedbackReceived(customer_id="c", feedback_id="f", channel="web", kind="complaint", occurred_at=NOW),
            FeedbackReceived(customer_id="c", feedback_id="g", channel="web", kind="complaint", occurred_at=NOW),
            FeedbackReceived(customer_id="c", feedback_id="h", channel="web", kind="praise", occurred_at=NOW),
            ComplaintOpened(**OF, sequence=2, feedback_id="f"),
            ComplaintClosed(**OF, sequence=3, by="staff"),
            ComplaintReopened(**OF, sequence=4),
            ComplaintClosed(**OF, sequence=5, by="customer"),
        ]
    )
)
def test_feedback_is_open_until_the_complaint_that_was_opened_for_it_is_closed(said: list[Struct]) -> None:
    assert complaint_news(said) == {
        ("feedback", "f"): ComplaintWord("c", 1, False),
        ("feedback", "g"): ComplaintWord("c", 0, True),
        ("complaint", "cp"): ComplaintWord("c", 5, False),
    }
