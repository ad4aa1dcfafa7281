"""What is told of coupons: by their ids, never by their codes."""

from services.loyalty.coupons.domain import Coupon
from shared.contracts.rewards import CouponIssued, CouponRedeemed
from shared.contracts.types import Cause
from shared.messaging.outbox import UNNUMBERED, Outgoing


def issued(coupon: Coupon, cause: Cause) -> Outgoing:
    """A customer has it."""
    return Outgoing(
        CouponIssued(
            customer_id=coupon.customer_id,
            sequence=UNNUMBERED,
            caused_by=cause,
            occurred_at=coupon.issued_at,
            coupon_id=coupon.coupon_id,
            discount=coupon.discount,
            percent=coupon.percent,
            redemption_id=coupon.redemption_id,
            expires_at=coupon.expires_at,
            min_spend=coupon.min_spend,
        )
    )


def redeemed(coupon: Coupon, cause: Cause, traceparent: str | None = None) -> Outgoing:
    """It was used: told of the customer who had it, whoever used it."""
    return Outgoing(
        CouponRedeemed(
            customer_id=coupon.customer_id,
            sequence=UNNUMBERED,
            caused_by=cause,
            occurred_at=coupon.state_at,
            coupon_id=coupon.coupon_id,
            discount=coupon.discount,
            percent=coupon.percent,
            order_id=coupon.order_id,
        ),
        traceparent,
    )
