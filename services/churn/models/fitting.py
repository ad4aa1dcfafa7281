"""Maximum likelihood of the BG/NBD and MBG/NBD. scipy is imported by a fit only: scoring lives without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from services.churn.models.domain import Floats, History, Kind, Params, dropouts_survived

MINIMUM_REPEAT_BUYERS = 10
_BOUND = 10.0
_STARTS = (np.log([0.5, 0.5, 1.0, 2.5]), np.log([1.0, 1.0, 0.2, 2.0]))


class NotEnoughHistory(ValueError):
    """Too few customers bought again for a fit to mean anything."""

    code = "not-enough-history"


def fit(
    x: ArrayLike, t_x: ArrayLike, T: ArrayLike, *, kind: Kind = "mbg-nbd", weights: ArrayLike | None = None
) -> Params:
    """Maximum-likelihood parameters in the unit of time of t_x and T, (n,) each as in History.

    `weights`, (n,), count customers per row. Invariant to the unit: times are scaled by the mean age first.
    Raises InvalidHistory, or NotEnoughHistory below 10 repeat buyers.
    """
    from scipy.optimize import minimize

    history = History.of(x, t_x, T)
    sample = _collapse(kind, history, weights)
    repeat_buyers = float(sample.weight[sample.history.x > 0].sum())
    if repeat_buyers < MINIMUM_REPEAT_BUYERS:
        raise NotEnoughHistory(
            f"{repeat_buyers:g} customers bought again, {MINIMUM_REPEAT_BUYERS} are needed"
        )
    n = float(sample.weight.sum())
    scale = float(sample.weight @ sample.history.T) / n
    scaled = sample.in_unit(scale)

    def cost(theta: Floats) -> tuple[float, Floats]:
        value, gradient = _log_likelihood(np.exp(theta), scaled)
        return -value / n, -gradient * np.exp(theta) / n

    for start in _STARTS:
        found = minimize(
            cost, start, jac=True, method="L-BFGS-B", bounds=[(-_BOUND, _BOUND)] * 4,
            options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 500},
        )  # fmt: skip
        if found.success:
            break
    r, alpha, a, b = (float(v) for v in np.exp(found.x))
    # Densities of purchase times: changing the unit scales the likelihood once a repeat purchase.
    unit = float(sample.weight @ sample.history.x) * float(np.log(scale))
    return Params(
        kind=kind, r=r, alpha=alpha * scale, a=a, b=b,
        log_likelihood=-float(found.fun) * n - unit, n=round(n), converged=bool(found.success),
    )  # fmt: skip


def log_likelihood(params: Params, history: History, weights: ArrayLike | None = None) -> float:
    """Log-likelihood of the histories under these parameters (Fader, Hardie & Lee 2005, eq. 6)."""
    value, _ = _log_likelihood(
        np.array([params.r, params.alpha, params.a, params.b]), _collapse(params.kind, history, weights)
    )
    return value


@dataclass(frozen=True, slots=True)
class _Sample:
    """Distinct histories with their weights, and the weights summed by x for the terms of x alone."""

    kind: Kind
    history: History
    weight: Floats
    counts: Floats
    count_weight: Floats

    def in_unit(self, scale: float) -> _Sample:
        h = self.history
        return _Sample(
            self.kind, History(h.x, h.t_x / scale, h.T / scale), self.weight, self.counts, self.count_weight
        )


def _collapse(kind: Kind, history: History, weights: ArrayLike | None) -> _Sample:
    weight = np.ones(len(history)) if weights is None else np.asarray(weights, dtype=np.float64)
    if len(history) == 0:
        raise NotEnoughHistory("no customers")
    order = np.lexsort((history.T, history.t_x, history.x))
    x, t_x, T, weight = history.x[order], history.t_x[order], history.T[order], weight[order]
    new = np.flatnonzero(np.r_[True, (np.diff(x) != 0) | (np.diff(t_x) != 0) | (np.diff(T) != 0)])
    distinct = History(x[new], t_x[new], T[new])
    total = np.add.reduceat(weight, new)
    counts, by_count = np.unique(distinct.x, return_inverse=True)
    return _Sample(kind, distinct, total, counts, np.bincount(by_count, total).astype(np.float64))


def _log_likelihood(theta: Floats, sample: _Sample) -> tuple[float, Floats]:
    """Value, and gradient (4,) in (r, alpha, a, b).

    With m dropouts survived, a customer's likelihood is G(r+x)/G(r) alpha^r [B(a, b+m) (alpha+T)^-(r+x) +
    B(a+1, b+m-1) (alpha+t_x)^-(r+x)] / B(a, b), the second term absent where m = 0. The bracket is its first
    term times (1 + odds of being dead), so that the derivatives are those of the logarithms, weighted by
    P(dead).
    """
    from scipy.special import betaln, digamma, gammaln

    r, alpha, a, b = (float(v) for v in theta)
    x, t_x, T, weight = sample.history.x, sample.history.t_x, sample.history.T, sample.weight
    exposed = dropouts_survived(sample.kind, x) > 0
    survived_before = np.where(exposed, dropouts_survived(sample.kind, x) - 1.0, 0.0)
    log_age = np.log(alpha + T)
    silence = log_age - np.log(alpha + t_x)
    odds = np.where(exposed, np.log(a / (b + survived_before)) + (r + x) * silence, -np.inf)
    dead = weight * np.exp(-np.logaddexp(0.0, -odds))

    k, k_weight = sample.counts, sample.count_weight
    m = dropouts_survived(sample.kind, k)
    value = k_weight @ (gammaln(r + k) - gammaln(r) + r * np.log(alpha) + betaln(a, b + m) - betaln(a, b))
    value += weight @ (np.logaddexp(0.0, odds) - (r + x) * log_age)

    n = weight.sum()
    by_r = k_weight @ (digamma(r + k) - digamma(r)) + n * np.log(alpha) - weight @ log_age + dead @ silence
    by_alpha = n * r / alpha - weight @ ((r + x) / (alpha + T))
    by_alpha += dead @ ((r + x) * (1.0 / (alpha + T) - 1.0 / (alpha + t_x)))
    by_a = k_weight @ (digamma(a + b) - digamma(a + b + m)) + dead.sum() / a
    by_b = k_weight @ (digamma(b + m) - digamma(b) + digamma(a + b) - digamma(a + b + m))
    by_b -= dead @ (1.0 / (b + survived_before))
    return float(value), np.array([by_r, by_alpha, by_a, by_b])
