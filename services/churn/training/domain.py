"""A fit of the whole base, and its trial on a holdout. Run in a process of its own: it imports scipy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from services.churn.models import fitting, gamma_gamma
from services.churn.models.domain import Floats, History, Ints, Kind, probability_of_no_purchase
from services.churn.models.evaluation import auc, average_precision, evaluate, holdout
from services.churn.models.fitting import NotEnoughHistory
from services.churn.models.gamma_gamma import GammaGamma
from services.churn.models.versions import Baseline, Holdout, Trained


@dataclass(frozen=True, slots=True)
class Sample:
    """What a fit learns from. `history`, `n_valued`, `net_minor`: (n,), a customer each, to the day `today`;
    `customer`, `day`: (m,), a row a purchase, from which the past is rebuilt. Days are ordinals."""

    history: History
    n_valued: Ints
    net_minor: Ints
    customer: Ints
    day: Ints
    today: int


def train(sample: Sample, kind: Kind, horizon_days: int) -> Trained:
    """The model of all that is known, and how one fitted a horizon earlier did. Raises NotEnoughHistory."""
    known = sample.history
    params = fitting.fit(known.x, known.t_x, known.T, kind=kind)
    return Trained(params, _purchase_value(sample), _trial(sample, kind, horizon_days))


def _purchase_value(sample: Sample) -> GammaGamma | None:
    try:
        return gamma_gamma.fit(sample.n_valued, sample.net_minor / np.maximum(sample.n_valued, 1))
    except NotEnoughHistory:
        return None


def _trial(sample: Sample, kind: Kind, horizon_days: int) -> Holdout | None:
    cut = sample.today - horizon_days
    if cut < 1 or not np.any(sample.day <= cut):
        return None
    known, churned = holdout(sample.customer, sample.day, cut=cut, horizon_days=horizon_days)
    try:
        params = fitting.fit(known.x, known.t_x, known.T, kind=kind)
    except NotEnoughHistory:
        return None
    outcome: Floats = churned.astype(np.float64)
    baselines = {"recency": known.T - known.t_x, "frequency": -known.x}
    return Holdout(
        cut=date.fromordinal(cut),
        horizon_days=horizon_days,
        evaluation=evaluate(probability_of_no_purchase(params, known, horizon_days), churned),
        baselines={
            name: Baseline(auc(figure, outcome), average_precision(figure, outcome))
            for name, figure in baselines.items()
        },
    )
