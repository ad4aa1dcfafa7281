from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime

from services.churn.models import gamma_gamma
from services.churn.models.domain import Floats
from services.churn.models.fitting import NotEnoughHistory
from services.churn.models.gamma_gamma import GammaGamma, expected_value
from tests.unit.churn.cdnow import cdnow

PUBLISHED = GammaGamma(p=6.25, q=3.744, v=15.44, log_likelihood=-4055.92, n=946, converged=True)


def test_fit_finds_the_published_parameters_of_cdnow() -> None:
    found = gamma_gamma.fit(*cdnow().repeat_spend)
    assert (found.p, found.q, found.v) == pytest.approx((6.250, 3.744, 15.44), rel=2e-3)
    assert found.log_likelihood == pytest.approx(-4055.92, abs=0.01)
    assert found.n == 946
    assert found.converged


def test_fit_in_cents_is_the_fit_in_dollars() -> None:
    count, mean = cdnow().repeat_spend
    cents, dollars = gamma_gamma.fit(count, mean * 100), gamma_gamma.fit(count, mean)
    assert (cents.p, cents.q, cents.v / 100) == pytest.approx((dollars.p, dollars.q, dollars.v), rel=1e-4)


def test_gradient_is_the_slope_of_the_likelihood() -> None:
    count, mean = cdnow().repeat_spend
    x, z = count[mean > 0], mean[mean > 0]
    at = np.array([3.0, 2.5, 11.0])
    _, gradient = gamma_gamma._log_likelihood(at, x, z)

    def value(theta: Floats) -> float:
        return gamma_gamma._log_likelihood(theta, x, z)[0]

    slope = approx_fprime(at, value)
    assert_allclose(gradient, slope, rtol=1e-4)


def test_expected_value_agrees_with_a_simulation_of_the_model() -> None:
    rng = np.random.default_rng(11)
    model = GammaGamma(p=4.0, q=5.0, v=20.0, log_likelihood=0.0, n=0, converged=True)
    scale = rng.gamma(model.q, 1 / model.v, 400_000)
    seen = rng.gamma(model.p * 3, 1 / scale) / 3
    unseen = rng.gamma(model.p, 1 / scale)
    for low, high in ((10.0, 14.0), (18.0, 22.0), (35.0, 45.0)):
        group = (seen >= low) & (seen < high)
        forecast = expected_value(model, np.full(group.sum(), 3), seen[group])
        error = abs(unseen[group].mean() - forecast.mean())
        assert error < 4 * unseen[group].std() / np.sqrt(group.sum())


@given(count=st.integers(1, 500), mean=st.floats(0.01, 1e6))
def test_expected_value_lies_between_the_customers_mean_and_the_bases(count: int, mean: float) -> None:
    base = PUBLISHED.p * PUBLISHED.v / (PUBLISHED.q - 1)
    value = float(expected_value(PUBLISHED, [count], [mean])[0])
    assert min(mean, base) * (1 - 1e-9) <= value <= max(mean, base) * (1 + 1e-9)


def test_a_customer_without_a_known_value_is_worth_the_bases_mean() -> None:
    model = gamma_gamma.prior(250_00.0)
    assert expected_value(model, [0], [0.0])[0] == pytest.approx(250_00.0)


def test_a_base_of_single_purchases_is_not_fitted() -> None:
    with pytest.raises(NotEnoughHistory):
        gamma_gamma.fit(np.ones(100), np.full(100, 20.0))
