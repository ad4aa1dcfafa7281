"""A fitted model as it is kept: its parameters, what a purchase is worth by it, and how well it foretold."""

from datetime import date, datetime
from typing import Literal

import msgspec

from services.churn.models.domain import Params
from services.churn.models.evaluation import Evaluation
from services.churn.models.gamma_gamma import GammaGamma, prior

Status = Literal["active", "candidate", "retired"]


class UnknownModel(LookupError):
    """No model of that version."""

    code = "not-found"


class Baseline(msgspec.Struct, frozen=True):
    """How well customers are ranked by one simple figure."""

    auc: float
    pr_auc: float


class Holdout(msgspec.Struct, frozen=True):
    """A model fitted on all purchases to the end of the day `cut`, held against the `horizon_days` after it: who
    bought nothing in them. `baselines`: ranked by days of silence (`recency`), by fewest purchases (`frequency`)."""

    cut: date
    horizon_days: int
    evaluation: Evaluation
    baselines: dict[str, Baseline]


class Trained(msgspec.Struct, frozen=True):
    """What a fit answers. `purchase_value` is None where too few were paid twice in the house currency, `holdout`
    where too little was known one horizon ago."""

    params: Params
    purchase_value: GammaGamma | None
    holdout: Holdout | None


class ModelVersion(msgspec.Struct, frozen=True):
    """`trained_at` is None for the prior that is shipped."""

    id: int
    version: str
    params: Params
    purchase_value: GammaGamma | None
    holdout: Holdout | None
    status: Status
    trained_at: datetime | None

    def values(self, mean_value: float | None) -> GammaGamma:
        """What a purchase is worth: as fitted, else the published shapes around the base's own `mean_value` (minor
        units; None where nothing was paid: worth nothing)."""
        return self.purchase_value or prior(mean_value or 0.0)
