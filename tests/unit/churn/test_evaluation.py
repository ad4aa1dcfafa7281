from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.churn.models import fitting
from services.churn.models.domain import probability_of_no_purchase
from services.churn.models.evaluation import auc, evaluate, holdout
from tests.unit.churn.cdnow import CALIBRATED_TO, cdnow

SCORED = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=40)


@given(SCORED)
def test_auc_is_the_share_of_pairs_put_in_order(rows: list[tuple[int, bool]]) -> None:
    churned = [score for score, outcome in rows if outcome]
    stayed = [score for score, outcome in rows if not outcome]
    pairs = [1.0 if c > s else 0.5 if c == s else 0.0 for c in churned for s in stayed]
    expected = sum(pairs) / len(pairs) if pairs else 0.5
    score, outcome = np.array([float(s) for s, _ in rows]), np.array([float(o) for _, o in rows])
    assert auc(score, outcome) == pytest.approx(expected)


@given(SCORED, st.randoms(use_true_random=False))
def test_evaluation_does_not_depend_on_the_order_of_customers(
    rows: list[tuple[int, bool]], random: Random
) -> None:
    shuffled = random.sample(rows, len(rows))
    one, other = (evaluate([s / 20 for s, _ in r], [o for _, o in r]) for r in (rows, shuffled))
    assert (one.auc, one.pr_auc, one.brier) == pytest.approx((other.auc, other.pr_auc, other.brier))
    assert one.lift == pytest.approx(other.lift)
    assert [b.n for b in one.calibration] == [b.n for b in other.calibration]


def test_a_perfect_forecast_scores_perfectly() -> None:
    perfect = evaluate([0.0] * 80 + [1.0] * 20, [False] * 80 + [True] * 20)
    assert (perfect.auc, perfect.pr_auc, perfect.brier) == (1.0, 1.0, 0.0)
    assert perfect.lift == pytest.approx((5.0, 5.0, 0, 0, 0, 0, 0, 0, 0, 0))


def test_a_constant_forecast_has_no_lift() -> None:
    flat = evaluate([0.2] * 100, [True] * 20 + [False] * 80)
    assert flat.auc == 0.5
    assert flat.pr_auc == pytest.approx(0.2)
    assert flat.brier == pytest.approx(0.16)
    assert flat.lift == pytest.approx((1.0,) * 10)


def test_calibration_bins_hold_every_customer_once() -> None:
    bins = evaluate([0.0, 0.05, 0.1, 0.95, 1.0], [False, True, False, True, True]).calibration
    assert [(b.low, b.high, b.n) for b in bins] == [(0.0, 0.1, 2), (0.1, 0.2, 1), (0.9, 1.0, 2)]
    assert (bins[0].predicted, bins[0].observed) == (0.025, 0.5)


def test_an_evaluation_needs_an_outcome_for_each_score() -> None:
    with pytest.raises(ValueError, match="outcome"):
        evaluate([0.5, 0.2], [True])


def test_the_fitted_model_foretells_cdnows_next_90_days_better_than_recency_and_the_base_rate() -> None:
    data = cdnow()
    history, churned = holdout(data.customer, data.day, cut=CALIBRATED_TO, horizon_days=90)
    model = fitting.fit(history.x, history.t_x, history.T)
    found = evaluate(probability_of_no_purchase(model, history, 90), churned)
    assert found.auc > auc(history.T - history.t_x, churned.astype(np.float64)) > 0.75
    assert found.brier < 0.85 * found.base_rate * (1 - found.base_rate)
    assert sum(b.n * abs(b.predicted - b.observed) for b in found.calibration) / found.n < 0.05
    assert found.lift[0] > 1.1 > 0.6 > found.lift[-1]
