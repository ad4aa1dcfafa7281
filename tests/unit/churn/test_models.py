"""The purchase models against their papers, against simulation, and against themselves."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime
from scipy.special import hyp2f1

from services.churn.models import fitting
from services.churn.models.domain import (
    PRIOR,
    Floats,
    History,
    InvalidHistory,
    Kind,
    Params,
    expected_purchases,
    expected_purchases_if_alive,
    probability_alive,
    probability_of_no_purchase,
    summarise,
)
from tests.unit.churn.cdnow import CALIBRATED_TO, HOLDOUT_WEEKS, cdnow

PUBLISHED: dict[Kind, tuple[tuple[float, ...], float]] = {
    "bg-nbd": ((0.2426, 4.4135, 0.7929, 2.4258), -9582.43),
    "mbg-nbd": ((0.5248, 6.183, 0.8914, 1.614), -9582.13),
}
KINDS: list[Kind] = ["bg-nbd", "mbg-nbd"]


def params(
    kind: Kind = "mbg-nbd", r: float = 0.8, alpha: float = 5.0, a: float = 0.9, b: float = 2.0
) -> Params:
    return Params(kind=kind, r=r, alpha=alpha, a=a, b=b, log_likelihood=0.0, n=1, converged=True)


def fitted(kind: Kind, scale: float = 1.0) -> Params:
    weeks = cdnow().weeks
    return fitting.fit(weeks.x, weeks.t_x * scale, weeks.T * scale, kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_fit_finds_the_published_parameters_of_cdnow(kind: Kind) -> None:
    published, log_likelihood = PUBLISHED[kind]
    found = fitted(kind)
    assert_allclose([found.r, found.alpha, found.a, found.b], published, rtol=1e-3)
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=0.01)
    assert found.n == 2357
    assert found.converged


def test_the_shipped_prior_is_the_published_model_in_days() -> None:
    days = cdnow().days
    found = fitting.fit(days.x, days.t_x, days.T)
    assert_allclose(
        [PRIOR.r, PRIOR.alpha, PRIOR.a, PRIOR.b], [found.r, found.alpha, found.a, found.b], rtol=1e-3
    )
    assert fitting.log_likelihood(PRIOR, days) == pytest.approx(PRIOR.log_likelihood, abs=0.01)
    assert found.log_likelihood == pytest.approx(PRIOR.log_likelihood, abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_fit_does_not_depend_on_the_unit_of_time(kind: Kind) -> None:
    weeks, hours = fitted(kind), fitted(kind, scale=168.0)
    assert_allclose(
        [hours.r, hours.alpha / 168, hours.a, hours.b], [weeks.r, weeks.alpha, weeks.a, weeks.b], rtol=1e-4
    )


@pytest.mark.parametrize("kind", KINDS)
def test_weights_count_customers(kind: Kind) -> None:
    h = cdnow().weeks
    doubled = fitting.fit(np.tile(h.x, 2), np.tile(h.t_x, 2), np.tile(h.T, 2), kind=kind)
    weighted = fitting.fit(h.x, h.t_x, h.T, kind=kind, weights=np.full(len(h), 2.0))
    assert weighted.n == doubled.n == 4714
    assert weighted.log_likelihood == pytest.approx(doubled.log_likelihood)
    assert weighted.log_likelihood == pytest.approx(2 * fitted(kind).log_likelihood, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_the_slope_of_the_likelihood(kind: Kind) -> None:
    sample = fitting._collapse(kind, cdnow().weeks, None)
    at = np.array([0.7, 5.0, 1.3, 2.2])
    _, gradient = fitting._log_likelihood(at, sample)

    def value(theta: Floats) -> float:
        return fitting._log_likelihood(theta, sample)[0]

    slope = approx_fprime(at, value)
    assert_allclose(gradient, slope, rtol=1e-4)


def test_holdout_of_cdnow_is_forecast_as_published() -> None:
    data, model = cdnow(), fitted("bg-nbd")
    forecast, actual = expected_purchases(model, data.weeks, HOLDOUT_WEEKS), data.holdout
    assert actual.sum() == 1882
    assert np.abs(forecast - actual).mean() == pytest.approx(0.786, abs=0.002)
    assert np.corrcoef(forecast, actual)[0, 1] == pytest.approx(0.626, abs=0.002)
    assert forecast.sum() / actual.sum() - 1 == pytest.approx(-0.121, abs=0.002)


def test_cumulative_purchases_of_cdnow_are_tracked_to_week_78() -> None:
    data, model = cdnow(), fitted("bg-nbd")
    new = History.of([0], [0], [0])
    lived = data.weeks.T + HOLDOUT_WEEKS
    weeks, customers = np.unique(lived, return_counts=True)
    expected = sum(n * expected_purchases(model, new, t)[0] for t, n in zip(weeks, customers, strict=True))
    actual = data.weeks.x.sum() + data.holdout.sum()
    assert expected / actual - 1 == pytest.approx(-0.040, abs=0.003)


@pytest.mark.parametrize("kind", KINDS)
def test_a_simulated_base_gives_its_parameters_back(kind: Kind) -> None:
    truth = params(kind, r=0.8, alpha=20.0, a=0.8, b=2.5)
    x, t_x, _, _ = simulate(truth, age=300.0, horizon=1.0, n=40_000)
    found = fitting.fit(x, t_x, np.full(len(x), 300.0), kind=kind)
    assert_allclose([found.r, found.alpha, found.a, found.b], [0.8, 20.0, 0.8, 2.5], rtol=0.12)
    assert found.converged


def test_customers_who_never_drop_out_are_fitted_by_their_rates_alone() -> None:
    rng = np.random.default_rng(5)
    rate = rng.gamma(1.5, 1 / 30.0, 20_000)
    x = rng.poisson(rate * 200.0)
    t_x = np.where(x > 0, 200.0 * rng.random(len(x)) ** (1 / np.maximum(x, 1)), 0.0)
    found = fitting.fit(x, t_x, np.full(len(x), 200.0))
    assert found.converged
    assert_allclose([found.r, found.alpha], [1.5, 30.0], rtol=0.05)
    assert found.a / (found.a + found.b) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_forecasts_agree_with_a_simulation_of_the_model(kind: Kind) -> None:
    model, age, horizon = params(kind, r=1.2, alpha=8.0, a=0.9, b=2.0), 20.0, 15.0
    x, t_x, alive, later = simulate(model, age, horizon, n=600_000)
    history = History.of(x, t_x, np.full(len(x), age))
    forecasts = (
        (probability_alive(model, history), alive.astype(float)),
        (probability_of_no_purchase(model, history, horizon), (later == 0).astype(float)),
        (expected_purchases(model, history, horizon), later.astype(float)),
    )
    # Groups by count and recency: a formula wrong in either shows, where the base's mean may not.
    groups = [x == 0] + [(x == k) & late for k in (1, 2, 5) for late in (t_x < age / 2, t_x >= age / 2)]
    for forecast, outcome in forecasts:
        for group in groups:
            assert group.sum() > 400
            error = outcome[group].mean() - forecast[group].mean()
            assert abs(error) < 4.5 * outcome[group].std() / np.sqrt(group.sum()) + 1e-12


def simulate(
    model: Params, age: float, horizon: float, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, t_x, alive at `age`, purchases in the horizon after it, purchase by purchase."""
    rng = np.random.default_rng(20261122)
    rate = rng.gamma(model.r, 1 / model.alpha, n)
    p = rng.beta(model.a, model.b, n)
    in_play = rng.random(n) >= p if model.kind == "mbg-nbd" else np.ones(n, bool)
    x, later = np.zeros(n, int), np.zeros(n, int)
    t, t_x = np.zeros(n), np.zeros(n)
    alive = in_play.copy()
    while in_play.any():
        t = np.where(in_play, t + rng.exponential(1 / rate), t)
        before, within = in_play & (t <= age), in_play & (age < t) & (t <= age + horizon)
        x, t_x, later = x + before, np.where(before, t, t_x), later + within
        stays = rng.random(n) >= p
        alive &= ~(before & ~stays)
        in_play &= (t <= age + horizon) & stays
    return x, t_x, alive, later


@given(
    a=st.floats(1.05, 8.0), b=st.floats(0.2, 8.0), r=st.floats(0.1, 5.0), x=st.integers(1, 30),
    age=st.floats(1.0, 50.0), horizon=st.floats(0.5, 60.0),
)  # fmt: skip
def test_quadrature_agrees_with_the_closed_form(
    a: float, b: float, r: float, x: int, age: float, horizon: float
) -> None:
    # Fader, Hardie & Lee (2005), eq. 10, without its P(alive); near a = 1 it loses digits.
    model = params("bg-nbd", r=r, alpha=6.0, a=a, b=b)
    z = horizon / (6.0 + age + horizon)
    tail = (1 - z) ** (r + x) * hyp2f1(r + x, b + x, a + b + x - 1, z)
    closed = (a + b + x - 1) / (a - 1) * (1 - tail)
    found = expected_purchases_if_alive(model, History.of([x], [0.5], [age]), horizon)[0]
    assert found == pytest.approx(closed, rel=1e-7)


@given(
    kind=st.sampled_from(KINDS), x=st.integers(1, 60), age=st.floats(1.0, 2000.0),
    horizon=st.floats(1.0, 730.0), late=st.floats(0.0, 1.0), early=st.floats(0.0, 1.0),
)  # fmt: skip
def test_longer_silence_never_lowers_the_probability(
    kind: Kind, x: int, age: float, horizon: float, late: float, early: float
) -> None:
    early, late = sorted((early, late))
    history = History.of([x, x], [age * early, age * late], [age, age])
    silent, recent = probability_of_no_purchase(params(kind), history, horizon)
    assert 0.0 <= recent <= silent <= 1.0


@given(kind=st.sampled_from(KINDS), x=st.integers(0, 5000), age=st.floats(0.0, 1e5), part=st.floats(0.0, 1.0))
@settings(max_examples=50)
def test_extreme_histories_stay_finite(kind: Kind, x: int, age: float, part: float) -> None:
    history = History.of([x], [age * part if x else 0.0], [age])
    probability = probability_of_no_purchase(params(kind), history, 90.0)[0]
    assert 0.0 <= probability <= 1.0
    assert 0.0 <= expected_purchases(params(kind), history, 365.0)[0] < 1e7


def test_one_time_buyers_of_the_bg_nbd_are_alive_and_of_the_mbg_nbd_perhaps() -> None:
    history = History.of([0], [0], [100])
    assert probability_alive(params("bg-nbd"), history)[0] == 1.0
    assert 0.0 < probability_alive(params("mbg-nbd"), history)[0] < 1.0


def test_purchases_of_one_day_are_one_occasion_and_later_days_unseen() -> None:
    customer, day = np.array([7, 3, 3, 3, 7, 9]), np.array([10, 5, 5, 9, 20, 30])
    ids, history = summarise(customer, day, observed_to=12)
    assert ids.tolist() == [3, 7]
    assert history.x.tolist() == [1, 0]
    assert history.t_x.tolist() == [4, 0]
    assert history.T.tolist() == [7, 2]


def test_the_sample_has_its_published_repeat_purchases() -> None:
    assert cdnow().days.x.sum() == 2457
    assert cdnow().day.max() == CALIBRATED_TO + 7 * HOLDOUT_WEEKS


@pytest.mark.parametrize(
    ("x", "t_x", "T"),
    [(0, 3, 9), (1, 10, 9), (-1, 0, 9), (1, -1, 9), (1, float("nan"), 9), (1, 1, float("inf"))],
)
def test_impossible_histories_are_refused(x: float, t_x: float, T: float) -> None:
    with pytest.raises(InvalidHistory):
        History.of([x], [t_x], [T])


def test_a_base_without_repeat_buyers_is_not_fitted() -> None:
    with pytest.raises(fitting.NotEnoughHistory):
        fitting.fit(np.zeros(500), np.zeros(500), np.full(500, 30.0))


def test_scoring_does_not_import_scipy() -> None:
    code = "import sys, services.churn.scoring.domain, services.churn.scoring.reasons as _; "
    code += "sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
