"""What profile publishes of how buying changes: one customer's rhythm, and the shop's demand for a category."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta

from shared.contracts.types import Cause, Derived, Id, Instant, Probability, Struct


class PurchaseRhythmDropped(Derived):
    """A customer has been silent for longer than his own gaps between purchase days explain.

    ``p_value``: how probable so long a gap is by his own rhythm, of which ``usual_gap_days`` is the middle.
    """

    occurred_at: Instant
    last_purchase_at: Instant
    silent_days: Annotated[int, Meta(ge=1)]
    usual_gap_days: Annotated[float, Meta(gt=0)]
    gaps: Annotated[int, Meta(ge=2)]
    p_value: Probability
    policy_version: Annotated[int, Meta(ge=1)]


class CategoryDemandChanged(Struct):
    """More or fewer orders have a category than in the period before, by more than chance; keyed by ``category``.

    The period runs from ``since`` until the day before ``until``, the one before is as long. ``before`` and ``now``
    are orders; ``p_value`` is the conditional binomial test's, ``adjusted_p_value`` that over all categories tested.
    """

    category: Id
    caused_by: Cause
    occurred_at: Instant
    direction: Literal["up", "down"]
    since: date
    until: date
    before: Annotated[int, Meta(ge=0)]
    now: Annotated[int, Meta(ge=0)]
    shop_before: Annotated[int, Meta(ge=0)]
    shop_now: Annotated[int, Meta(ge=0)]
    p_value: Probability
    adjusted_p_value: Probability
    policy_version: Annotated[int, Meta(ge=1)]
