from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.churn.scoring.announcing import Ground, announcements
from services.churn.scoring.domain import Scores
from services.churn.scoring.policy import Policy
from services.churn.scoring.verdicts import Standing, Verdict, judge
from shared.contracts.risk import ChurnScored, CustomerAtRisk, RiskLowered
from shared.contracts.types import Cause

POLICY = Policy()
GROUND = Ground("mbg-nbd-2", 90, "TWD", "rescored", datetime(2026, 11, 20, tzinfo=UTC))
CAUSE = Cause(source="/churn/jobs", id="scoring/2026-11-20")


def scores(probability: list[float], eligible: list[bool] | None = None) -> Scores:
    p = np.array(probability)
    flags = np.array(eligible) if eligible is not None else ~np.isnan(p)
    return Scores(p, 1 - p, p, p, p, p * 1000, flags)


def standing(verdicts: list[Verdict], before: Standing) -> Standing:
    """What a scoring leaves: the verdicts written over what stood."""
    columns = {name: getattr(before, name).copy() for name in Standing.__slots__}
    for verdict in verdicts:
        i = int(verdict.customer_id)
        columns["band"][i], columns["published"][i] = verdict.band, verdict.published
        columns["probability"][i], columns["value_at_risk"][i] = verdict.probability, verdict.value_at_risk
        columns["same_model"][i] = True
    return Standing(**columns)


def news(verdict: Verdict) -> list[type]:
    return [type(event) for event in announcements(verdict, [], CAUSE, GROUND)]


@given(st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), min_size=1, max_size=9), st.data())
def test_judging_what_a_judgement_left_changes_nothing(probability: list[float], data: st.DataObject) -> None:
    customers = [str(i) for i in range(len(probability))]
    before = Standing.never_listed([0] * len(customers), [None] * len(customers))
    for _ in range(2):
        moved = [data.draw(st.floats(0, 1)) if p == p else p for p in probability]
        before = standing(judge(customers, before, scores(moved), POLICY), before)
    assert judge(customers, before, scores(moved), POLICY) == []


def test_a_score_that_moved_less_than_the_step_and_is_low_is_left_alone() -> None:
    before = Standing.never_listed([0], [0.30])
    assert judge(["a"], before, scores([0.34]), POLICY) == []


def test_the_standing_of_who_is_at_risk_follows_each_scoring_unannounced() -> None:
    [verdict] = judge(["a"], Standing.never_listed([1], [0.65]), scores([0.66]), POLICY)
    assert (verdict.probability, verdict.published, verdict.worth) == (0.66, 0.65, False)
    assert news(verdict) == []


@pytest.mark.parametrize(
    ("from_band", "probability", "told"),
    [(0, 0.7, CustomerAtRisk), (1, 0.9, CustomerAtRisk), (2, 0.6, RiskLowered), (1, 0.2, RiskLowered)],
)
def test_a_crossing_is_announced_behind_its_score(from_band: int, probability: float, told: type) -> None:
    [verdict] = judge(["a"], Standing.never_listed([from_band], [0.5]), scores([probability]), POLICY)
    assert news(verdict) == [ChurnScored, told]


def test_who_has_no_purchase_left_falls_with_the_probability_last_published() -> None:
    [verdict] = judge(["a"], Standing.never_listed([2], [0.9]), scores([float("nan")]), POLICY)
    assert (verdict.band, verdict.probability) == (0, 0.9)
    assert news(verdict) == [ChurnScored, RiskLowered]
    scored = announcements(verdict, [], CAUSE, GROUND)[0]
    assert isinstance(scored, ChurnScored)
    assert (scored.lifetime_value, scored.expected_purchases) == (None, None)
