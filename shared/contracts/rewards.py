"""What loyalty publishes of rewards, coupons and referrals.

No event carries a coupon's code, which whoever has it may use, nor the other customer of a referral, whose own events
tell of him.
"""

from typing import Annotated, Literal

from msgspec import Meta

from shared.contracts.types import AMOUNT, Derived, Id, Instant, Money, Points

RewardKind = Literal["product", "gift", "discount", "coupon", "service", "privilege", "event-seat"]
Percent = Annotated[str, Meta(pattern=AMOUNT)]


class Coupon(Derived):
    """A coupon by its id; worth ``discount`` or ``percent`` of an order, where it is either."""

    occurred_at: Instant
    coupon_id: Id
    discount: Money | None = None
    percent: Percent | None = None


class CouponIssued(Coupon):
    """A customer has a coupon, for a redemption or given to him, to be used before ``expires_at`` for an order of
    ``min_spend`` or more."""

    redemption_id: Id | None = None
    expires_at: Instant | None = None
    min_spend: Money | None = None


class CouponRedeemed(Coupon):
    """A coupon was used, for an order if it is known."""

    order_id: Id | None = None


class RewardRedeemed(Derived):
    """A reward was taken for points, or for points and money; what is to be handed over is due at ``due_at``."""

    occurred_at: Instant
    redemption_id: Id
    reward_id: Id
    kind: RewardKind
    points: Points
    price: Money | None = None
    coupon_id: Id | None = None
    due_at: Instant | None = None


class RewardOverdue(Derived):
    """What was promised for a redemption isn't handed over in time; told once. ``occurred_at``: when it was due."""

    occurred_at: Instant
    redemption_id: Id
    reward_id: Id


class ReferralQualified(Derived):
    """The first purchase of somebody who was referred has passed its return window; published to both sides, ``role``
    tells which. ``order_id``: that purchase, on the referee's own event."""

    occurred_at: Instant
    referral_id: Id
    role: Literal["referrer", "referee"]
    order_id: Id | None = None
