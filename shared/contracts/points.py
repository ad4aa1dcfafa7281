"""What loyalty publishes: the ledger moved, a tier changed. Points are integers."""

from typing import Annotated, Literal

from msgspec import Meta

from shared.contracts.types import Derived, Id, Instant, Points


class PointsEarned(Derived):
    """An order's award rose by ``points``: pending until ``available_from``, gone at ``expires_at``."""

    occurred_at: Instant
    order_id: Id
    points: Points
    available_from: Instant
    programme_version: Annotated[int, Meta(ge=1)]
    expires_at: Instant | None = None


class PointsReversed(Derived):
    """An order's award fell by ``points``, at the rate they were earned."""

    occurred_at: Instant
    order_id: Id
    points: Points
    programme_version: Annotated[int, Meta(ge=1)]


class PointsSpent(Derived):
    """A redemption took ``points``; ``rolled_back``: it was taken back, and they are the customer's again."""

    occurred_at: Instant
    redemption_id: Id
    points: Points
    reward_id: Id | None = None
    order_id: Id | None = None
    rolled_back: bool = False


class PointsExpired(Derived):
    """Lots of an account passed their expiry unused."""

    occurred_at: Instant
    points: Points


class TierChanged(Derived):
    """The tier by rolling spend moved. ``None`` is no tier."""

    occurred_at: Instant
    direction: Literal["up", "down"]
    from_tier: str | None = None
    to_tier: str | None = None
