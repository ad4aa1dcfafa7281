from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.churn.models import gamma_gamma
from services.churn.models.domain import PRIOR, History, expected_purchases, probability_of_no_purchase
from services.churn.scoring.domain import Base, Scores, score
from services.churn.scoring.policy import Policy
from services.churn.scoring.reasons import Reason, reasons
from services.churn.scoring.statistics import PurchaseFact, Statistics, fold

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIRST_DAY = START.toordinal()
POLICY = Policy()
VALUES = gamma_gamma.prior(200_00.0)


def buyer(*at_days: int, net: int | list[int] = 200_00, open_complaints: int = 0, **more: int) -> Statistics:
    nets = net if isinstance(net, list) else [net] * len(at_days)
    facts = [
        PurchaseFact(f"o{day}", START + timedelta(days=day), paid, "/pos", f"o{day}", **more)
        for day, paid in zip(at_days, nets, strict=True)
    ]
    return fold(facts, UTC, open_complaints=open_complaints)


def scored(*states: Statistics, day: int = 100, policy: Policy = POLICY) -> Scores:
    return score(Base.from_statistics(states), PRIOR, VALUES, policy, FIRST_DAY + day)


def why(state: Statistics, day: int) -> dict[str, Reason]:
    return {reason.code: reason for reason in reasons(state, PRIOR, POLICY, FIRST_DAY + day)}


def test_scores_are_those_of_the_model() -> None:
    found = scored(buyer(0, 20, 60))
    history = History.of([2], [60], [100])
    assert found.probability[0] == probability_of_no_purchase(PRIOR, history, 90)[0]
    assert found.expected_purchases[0] == pytest.approx(expected_purchases(PRIOR, history, 90)[0])
    year = expected_purchases(PRIOR, history, 365)[0]
    assert found.lifetime_value[0] == pytest.approx(year * 200_00)
    assert found.value_at_risk[0] == pytest.approx(found.probability[0] * year / found.alive[0] * 200_00)


def test_a_customer_without_a_purchase_has_no_score_and_no_reasons() -> None:
    found = scored(buyer(), buyer(0))
    assert np.isnan(found.probability).tolist() == [True, False]
    assert np.isnan(found.value_at_risk).tolist() == [True, False]
    assert found.eligible.tolist() == [False, True]
    assert reasons(buyer(), PRIOR, POLICY, FIRST_DAY) == []


def test_an_empty_base_has_empty_scores() -> None:
    assert len(scored().probability) == 0


def test_recent_or_rare_buyers_are_not_eligible_for_a_band() -> None:
    policy = Policy(min_purchases=2, min_silence_days=14)
    found = scored(buyer(0, 86), buyer(0, 87), buyer(0), policy=policy)
    assert found.eligible.tolist() == [True, False, False]


def test_a_purchase_ahead_of_the_clock_is_a_purchase_today() -> None:
    ahead, today = scored(buyer(0, 10, 101)), scored(buyer(0, 10, 101), day=101)
    assert ahead.probability[0] == today.probability[0]


@given(st.lists(st.lists(st.integers(0, 300), max_size=6), min_size=1, max_size=8))
def test_many_at_once_are_as_one_by_one(customers: list[list[int]]) -> None:
    states = [buyer(*sorted(set(at))) for at in customers]
    together = scored(*states, day=300)
    for i, state in enumerate(states):
        alone = scored(state, day=300)
        for name in ("probability", "expected_purchases", "lifetime_value", "value_at_risk"):
            assert getattr(together, name)[i] == pytest.approx(getattr(alone, name)[0], nan_ok=True)


@given(st.integers(0, 400), st.integers(1, 60))
def test_the_probability_only_rises_while_a_customer_stays_silent(day: int, later: int) -> None:
    state = buyer(0, 15, 33)
    assert scored(state, day=33 + day).probability[0] <= scored(state, day=33 + day + later).probability[0]


def test_silence_is_told_with_the_usual_gap() -> None:
    found = why(buyer(0, 18, 30, 50), day=112)["silence"]
    assert found.text == "62 days since the last purchase; usual gap 18"
    assert found.facts == {"days": 62.0, "usual_gap": 18.0}
    assert found.contribution > 0.1


def test_silence_adds_what_the_days_beyond_the_usual_gap_do() -> None:
    in_rhythm = probability_of_no_purchase(PRIOR, History.of([3], [112 - 18], [112]), 90)[0]
    actual = scored(buyer(0, 18, 30, 50), day=112).probability[0]
    assert why(buyer(0, 18, 30, 50), day=112)["silence"].contribution == pytest.approx(actual - in_rhythm)
    assert why(buyer(0, 18, 30, 50), day=60)["silence"].contribution == 0.0


def test_a_one_time_buyer_is_named_so() -> None:
    found = why(buyer(0), day=61)
    assert found["silence"].text == "61 days since the only purchase"
    assert found["few-purchases"].text == "bought once only"
    assert "few-purchases" not in why(buyer(0, 5, 9), day=61)


def test_falling_baskets_slower_rhythm_returns_and_complaints_are_told_beside_the_model() -> None:
    state = buyer(
        0, 5, 10, 15, 30, 45, 60, net=[100] * 4 + [50] * 3, returns=1, returned_minor=40, open_complaints=1
    )
    found = why(state, day=100)
    assert found["falling-basket"].text == "the last 3 baskets are 50% smaller than those before"
    assert found["slowing"].text == "buys less often: every 15 days, before every 5"
    assert found["returns"].text == "7 returns, 34% of what was bought"
    assert found["open-complaint"].text == "1 complaint open"
    assert {
        found[code].contribution for code in ("falling-basket", "slowing", "returns", "open-complaint")
    } == {0.0}


def test_a_steady_customer_has_nothing_told_beside_the_silence() -> None:
    assert set(why(buyer(*range(0, 70, 7)), day=90)) == {"silence"}


@given(st.lists(st.integers(0, 200), min_size=1, max_size=6, unique=True), st.integers(200, 900))
def test_contributions_never_sum_to_more_than_the_probability(at: list[int], day: int) -> None:
    state = buyer(*sorted(at))
    found = reasons(state, PRIOR, POLICY, FIRST_DAY + day)
    assert all(reason.contribution >= 0 for reason in found)
    assert found[0].contribution == max(reason.contribution for reason in found)
    assert sum(reason.contribution for reason in found) <= scored(state, day=day).probability[0] + 1e-12


def test_a_reason_is_plain_json() -> None:
    found = reasons(buyer(0, 9), PRIOR, POLICY, FIRST_DAY + 90)
    assert msgspec.json.decode(msgspec.json.encode(found), type=list[Reason]) == found
