"""What loyalty publishes: the ledger moved, a tier changed. Points are integers."""

from typing import Annotated, Literal

from msgspec import Meta

from shared.contracts.types import Derived, Id, Instant, Points, Struct

Origin = Literal["order", "adjustment", "compensation", "occasion", "gift", "referral", "transfer"]
"""What gives points."""


class PointsEarned(Derived):
    """An award rose by ``points``: pending until ``available_from``, gone at ``expires_at``.

    ``order_id``: the order's; where ``origin`` says otherwise, the id of what gave the points.
    """

    occurred_at: Instant
    order_id: Id
    points: Points
    available_from: Instant
    programme_version: Annotated[int, Meta(ge=1)]
    expires_at: Instant | None = None
    origin: Origin = "order"


class PointsReversed(Derived):
    """An award fell by ``points``, at the rate they were earned. ``order_id`` and ``origin`` as they were earned."""

    occurred_at: Instant
    order_id: Id
    points: Points
    programme_version: Annotated[int, Meta(ge=1)]
    origin: Origin = "order"


class Portion(Struct):
    """Points of one lot: of the order or grant ``id``."""

    id: Id
    points: Points
    origin: Origin = "order"


class PointsGranted(Derived):
    """Points that no order made were given, or, as ``withdrawn``, were not: all that a ledger needs to have them again.

    ``points-earned`` tells of what they do to the balance.
    """

    occurred_at: Instant
    grant_id: Id
    kind: Literal["adjustment", "compensation", "occasion", "gift", "referral", "transfer"]
    points: Points
    available_from: Instant
    programme_version: Annotated[int, Meta(ge=1)]
    expires_at: Instant | None = None
    withdrawn: bool = False


class PointsSpent(Derived):
    """A redemption took ``points``; ``rolled_back``: it was taken back, and they are the customer's again.

    ``kind``: an adjustment or a transfer takes points, too. ``lots``: which, the soonest to expire first.
    """

    occurred_at: Instant
    redemption_id: Id
    points: Points
    reward_id: Id | None = None
    order_id: Id | None = None
    rolled_back: bool = False
    kind: Literal["redemption", "adjustment", "transfer"] = "redemption"
    lots: tuple[Portion, ...] = ()


class PointsExpired(Derived):
    """Lots of an account passed their expiry unused."""

    occurred_at: Instant
    points: Points


class PointsExpiring(Derived):
    """So many points that can be used now expire on a day of the house's, the first of them at ``expires_at``; told
    once for each such day, under the id that answers for all of the person."""

    occurred_at: Instant
    points: Points
    expires_at: Instant


class TierChanged(Derived):
    """The tier moved; ``None`` is no tier.

    A ``warning``: nothing moved so far, but without another purchase it will, ``at`` that instant.
    """

    occurred_at: Instant
    direction: Literal["up", "down", "warning"]
    from_tier: str | None = None
    to_tier: str | None = None
    at: Instant | None = None
