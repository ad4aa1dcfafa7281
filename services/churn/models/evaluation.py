"""How well scores foretold what happened in a holdout: ranking, sharpness, calibration, lift."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from services.churn.models.domain import Floats, History, Ints, summarise

_BINS = 10


class CalibrationBin(msgspec.Struct, frozen=True):
    """Customers scored in [low, high), the last bin with its end: mean score and the share that did churn."""

    low: float
    high: float
    n: int
    predicted: float
    observed: float


class Evaluation(msgspec.Struct, frozen=True):
    """Of n scored customers, by their outcome. `lift`: churn rate of each tenth, riskiest first, over the
    base rate. AUCs are 0.5 and the base rate where only one outcome occurred."""

    n: int
    base_rate: float
    auc: float
    pr_auc: float
    brier: float
    calibration: tuple[CalibrationBin, ...]
    lift: tuple[float, ...]


def holdout(customer: Ints, day: Ints, *, cut: int, horizon_days: int) -> tuple[History, NDArray[np.bool_]]:
    """Histories up to the day `cut`, and who of them bought nothing in the `horizon_days` after it: (n,)
    each, of those who had bought by then. `customer` and `day`, (m,): a row a purchase, days as ordinals."""
    ids, history = summarise(customer, day, observed_to=cut)
    after = (day > cut) & (day <= cut + horizon_days)
    return history, ~np.isin(ids, customer[after])


def evaluate(probability: ArrayLike, churned: ArrayLike) -> Evaluation:
    """`probability` in [0, 1] and `churned` (bool), (n,) each, n > 0. Independent of the customers' order."""
    score, outcome = np.asarray(probability, dtype=np.float64), np.asarray(churned, dtype=np.float64)
    if score.shape != outcome.shape or score.ndim != 1 or len(score) == 0:
        raise ValueError("one outcome for each score, at least one")
    return Evaluation(
        n=len(score),
        base_rate=float(outcome.mean()),
        auc=auc(score, outcome),
        pr_auc=average_precision(score, outcome),
        brier=float(np.mean((score - outcome) ** 2)),
        calibration=calibration(score, outcome),
        lift=lift_by_tenth(score, outcome),
    )


def auc(score: Floats, outcome: Floats) -> float:
    """P(a churner scores above a stayer), ties count half (Mann & Whitney 1947); any score will do."""
    positives = outcome.sum()
    negatives = len(outcome) - positives
    if positives == 0 or negatives == 0:
        return 0.5
    _, group, count = np.unique(score, return_inverse=True, return_counts=True)
    mid_rank = np.cumsum(count) - (count - 1) / 2.0
    return float((outcome @ mid_rank[group] - positives * (positives + 1) / 2.0) / (positives * negatives))


def average_precision(score: Floats, outcome: Floats) -> float:
    """Area under precision-recall by steps; customers of one score enter together."""
    positives = outcome.sum()
    if positives == 0:
        return 0.0
    _, group, count = np.unique(-score, return_inverse=True, return_counts=True)
    hits = np.bincount(group, weights=outcome)
    return float((np.cumsum(hits) / np.cumsum(count)) @ hits / positives)


def calibration(score: Floats, outcome: Floats) -> tuple[CalibrationBin, ...]:
    """Ten bins of equal width; empty ones are left out."""
    which = np.clip((score * _BINS).astype(np.int64), 0, _BINS - 1)
    n = np.bincount(which, minlength=_BINS)
    predicted = np.bincount(which, weights=score, minlength=_BINS)
    observed = np.bincount(which, weights=outcome, minlength=_BINS)
    return tuple(
        CalibrationBin(i / _BINS, (i + 1) / _BINS, int(n[i]), float(p / n[i]), float(o / n[i]))
        for i, (p, o) in enumerate(zip(predicted, observed, strict=True))
        if n[i]
    )


def lift_by_tenth(score: Floats, outcome: Floats) -> tuple[float, ...]:
    """Churn rate by tenth, riskiest first, over the base rate; up to ten values. Customers of one score share
    its rate, so that ties don't depend on the order given."""
    base = outcome.mean()
    if base == 0:
        return ()
    _, group, count = np.unique(score, return_inverse=True, return_counts=True)
    rate = (np.bincount(group, weights=outcome) / count)[group]
    tenths = np.array_split(rate[np.argsort(-score, kind="stable")], min(_BINS, len(score)))
    return tuple(float(tenth.mean() / base) for tenth in tenths)
