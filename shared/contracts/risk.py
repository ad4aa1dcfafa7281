"""What churn publishes: forecasts, each with its reasons and its model."""

from typing import Literal

from shared.contracts.types import Derived, Id, Instant, Money, Probability, Struct

Band = Literal["low", "at-risk", "critical"]


class Reason(Struct):
    """Why a customer is at risk, as a sentence with its facts; ``contribution`` in probability points."""

    code: str
    text: str
    contribution: float


class ChurnScored(Derived):
    """A customer's score moved by more than the publishing step, or its band changed."""

    occurred_at: Instant
    probability: Probability
    band: Band
    model_version: Id


class CustomerAtRisk(Derived):
    """The band rose to at-risk or critical. ``probability``: no purchase within ``horizon_days``."""

    occurred_at: Instant
    probability: Probability
    band: Literal["at-risk", "critical"]
    horizon_days: int
    value_at_risk: Money
    reasons: tuple[Reason, ...]
    model_version: Id


class RiskLowered(Derived):
    """The band fell back: because the customer bought, or the model or the policy changed."""

    occurred_at: Instant
    from_band: Band
    to_band: Band
    cause: Literal["purchase", "rescored"]
    probability: Probability
    model_version: Id
