"""What churn publishes: forecasts, each with its reasons and its model."""

from typing import Annotated, Literal

from msgspec import Meta

from shared.contracts.types import Derived, Id, Instant, Money, Probability, Struct

Band = Literal["low", "at-risk", "critical"]
Days = Annotated[int, Meta(ge=1)]


class Reason(Struct):
    """Why a customer is at risk, as a sentence with its facts; ``contribution`` in probability points."""

    code: str
    text: str
    contribution: float


class ChurnScored(Derived):
    """A customer's score moved by more than the publishing step, or its band changed.

    ``lifetime_value``: the revenue, undiscounted, that the model expects of him in the next ``lifetime_days``;
    ``expected_purchases``: how many purchases in the next ``horizon_days``. None of them of who has no purchase that
    stands.
    """

    occurred_at: Instant
    probability: Probability
    band: Band
    model_version: Id
    lifetime_value: Money | None = None
    lifetime_days: Days | None = None
    expected_purchases: Annotated[float, Meta(ge=0)] | None = None
    horizon_days: Days | None = None


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
