"""What a referral gives both sides, as grants of the ledger and as it is told."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from services.loyalty.ledger.application import JOBS
from services.loyalty.ledger.domain import Cause
from services.loyalty.ledger.grants import Given
from services.loyalty.programmes.domain import Programme
from services.loyalty.referrals.store import Referral
from shared.contracts.orders import Order
from shared.contracts.rewards import ReferralQualified
from shared.contracts.types import Cause as CausedBy
from shared.messaging.outbox import UNNUMBERED, Outgoing

SOURCE = f"{JOBS}/referrals"


def points_of(one: Referral, version: Programme | None, order: Order) -> tuple[int, int]:
    """What (referrer, referee) have of it as it stands, by the version that judged the purchase."""
    if one.state != "qualified" or version is None or version.referral is None:
        return 0, 0
    if order.backfill and not version.backfill_earns:
        return 0, 0
    return version.referral.referrer, version.referral.referee


def undone_at(order: Order, now: datetime) -> datetime:
    """When what it gave came to nothing."""
    if order.cancelled_at:
        return order.cancelled_at
    return max((refund.occurred_at for refund in order.refunds), default=now)


def grants_of(
    one: Referral, versions: Mapping[int, Programme], zone: ZoneInfo, at: datetime, *, withdrawn: bool = False
) -> list[Given]:
    """The points that it has given last, for both sides. What is given again, is another grant."""
    referral_id, qualified_at = one.referral_id or "", one.qualified_at or at
    version = versions[one.programme_version or 0]
    name = referral_id if one.generation == 1 else f"{referral_id}:{one.generation}"
    sides = (
        ("referrer", one.referrer_id or "", one.referrer_points), ("referee", one.referee_id, one.referee_points),
    )  # fmt: skip
    return [
        Given(
            customer_id=customer,
            kind="referral",
            grant_id=f"{name}:{role}",
            points=points,
            occurred_at=qualified_at,
            available_from=qualified_at,
            expires_at=version.expires_at(qualified_at, zone),
            programme_version=version.version,
            currency=version.currency,
            cause=Cause(SOURCE, referral_id, at),
            withdrawn=withdrawn,
        )
        for role, customer, points in sides
        if points
    ]


def told(one: Referral) -> list[Outgoing]:
    """That it has qualified, to both sides: to neither who the other is."""
    sides: tuple[tuple[Literal["referrer", "referee"], str, str | None], ...] = (
        ("referrer", one.referrer_id or "", None), ("referee", one.referee_id, one.order_id),
    )  # fmt: skip
    return [
        Outgoing(
            ReferralQualified(
                customer_id=customer,
                sequence=UNNUMBERED,
                caused_by=CausedBy(source=SOURCE, id=one.referral_id or ""),
                occurred_at=one.qualified_at or one.ordered_at,
                referral_id=one.referral_id or "",
                role=role,
                order_id=order_id,
            )
        )
        for role, customer, order_id in sides
    ]
