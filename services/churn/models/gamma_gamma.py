"""What a purchase of a customer is worth: the gamma-gamma model (Fader & Hardie 2013)."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from services.churn.models.domain import Floats, InvalidHistory
from services.churn.models.fitting import MINIMUM_REPEAT_BUYERS, NotEnoughHistory

_BOUND = 10.0
_LEAST_Q = 1.05


class GammaGamma(msgspec.Struct, frozen=True):
    """A purchase is worth Gamma(p, nu), nu ~ Gamma(q, v) over customers; `v` in the unit of money of the fit
    (minor units in this service). q > 1, so that the population's mean p v / (q - 1) exists."""

    p: float
    q: float
    v: float
    log_likelihood: float
    n: int
    converged: bool


def prior(mean_value: float) -> GammaGamma:
    """The published shapes of CDNOW's sample (946 repeat customers, p 6.250, q 3.744; Fader & Hardie 2013),
    with v set so that the population's mean is `mean_value` > 0, the base's own mean purchase: its level is
    its currency's."""
    p, q = 6.250, 3.744
    return GammaGamma(p=p, q=q, v=mean_value * (q - 1.0) / p, log_likelihood=0.0, n=0, converged=False)


def expected_value(model: GammaGamma, count: ArrayLike, mean: ArrayLike) -> Floats:
    """E[value of a purchase | `count` purchases of average `mean`], (n,), the unit of `mean`; where count is
    0 the population's mean. p (v + x z) / (p x + q - 1) (Fader & Hardie 2013, eq. 5)."""
    x = np.asarray(count, dtype=np.float64)
    total = np.where(x > 0, x * np.asarray(mean, dtype=np.float64), 0.0)
    value: Floats = model.p * (model.v + total) / (model.p * x + model.q - 1.0)
    return value


def fit(count: ArrayLike, mean: ArrayLike) -> GammaGamma:
    """Maximum likelihood over customers with `count` > 0 purchases of average `mean` > 0, (n,) each; others
    are left out. Raises InvalidHistory on unlike lengths, NotEnoughHistory below 10 repeat buyers."""
    from scipy.optimize import minimize

    x, z = np.asarray(count, dtype=np.float64), np.asarray(mean, dtype=np.float64)
    if x.shape != z.shape or x.ndim != 1:
        raise InvalidHistory("count and mean must be of one length")
    kept = np.isfinite(x) & np.isfinite(z) & (x > 0) & (z > 0)
    x, z = x[kept], z[kept]
    if np.count_nonzero(x > 1) < MINIMUM_REPEAT_BUYERS:
        raise NotEnoughHistory(f"{MINIMUM_REPEAT_BUYERS} customers with two purchases are needed")
    scale = float(z.mean())
    z = z / scale

    def cost(theta: Floats) -> tuple[float, Floats]:
        value, gradient = _log_likelihood(np.exp(theta), x, z)
        return -value / len(x), -gradient * np.exp(theta) / len(x)

    bounds = [(-_BOUND, _BOUND), (float(np.log(_LEAST_Q)), _BOUND), (-_BOUND, _BOUND)]
    found = minimize(
        cost, np.log([4.0, 3.0, 0.5]), jac=True, method="L-BFGS-B", bounds=bounds,
        options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 500},
    )  # fmt: skip
    p, q, v = (float(value) for value in np.exp(found.x))
    return GammaGamma(
        p=p, q=q, v=v * scale, log_likelihood=-float(found.fun) * len(x) - len(x) * float(np.log(scale)),
        n=len(x), converged=bool(found.success),
    )  # fmt: skip


def _log_likelihood(theta: Floats, x: Floats, z: Floats) -> tuple[float, Floats]:
    """Value, and gradient (3,) in (p, q, v), of Fader & Hardie 2013, eq. 1a."""
    from scipy.special import digamma, gammaln

    p, q, v = (float(value) for value in theta)
    px, total = p * x, v + x * z
    log_total = np.log(total)
    value = (
        gammaln(px + q) - gammaln(px) - gammaln(q) + q * np.log(v) + (px - 1) * np.log(z) + px * np.log(x)
        - (px + q) * log_total
    ).sum()  # fmt: skip
    shared = digamma(px + q)
    by_p = (x * (shared - digamma(px) + np.log(z) + np.log(x) - log_total)).sum()
    by_q = (shared - digamma(q) + np.log(v) - log_total).sum()
    by_v = (q / v - (px + q) / total).sum()
    return float(value), np.array([by_p, by_q, by_v])
