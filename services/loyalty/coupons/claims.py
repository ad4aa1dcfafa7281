"""Orders that name a coupon's code, and which of them has used it: a pure function of what is known of them."""

from collections.abc import Iterable, Set
from datetime import datetime
from typing import NamedTuple

import msgspec

from services.loyalty.coupons.domain import Coupon, CouponFault
from shared.messaging.merges import Groups

_replace = msgspec.structs.replace


class Claim(msgspec.Struct, frozen=True):
    """An order that has named a coupon's code in one of its versions, or that a till gave the coupon back for.

    ``stands``: its highest version names it, and something of the order stands. ``waived_at``: what was bought up to
    then doesn't have the coupon. ``given``: the coupon is its. ``told``: that was published once. ``conflict``: why the
    coupon isn't its, although it stands. ``reserved_until``: a till kept it for the order beyond the coupon's end.
    """

    coupon_id: str
    order_id: str
    customer_id: str | None = None
    occurred_at: datetime | None = None
    stands: bool = False
    backfill: bool = False
    waived_at: datetime | None = None
    given: bool = False
    told: bool = False
    conflict: CouponFault | None = None
    reserved_until: datetime | None = None

    def waive(self, now: datetime) -> "Claim":
        """Given back at a till, also where the order's clock was ahead."""
        return _replace(self, waived_at=max(now, self.occurred_at or now), reserved_until=None)


class Settled(NamedTuple):
    """A coupon and its claims as they are now, and the claim that is to be told of: it has the coupon for the first
    time."""

    coupon: Coupon
    claims: list[Claim]
    news: Claim | None


def settle(coupon: Coupon, claims: Iterable[Claim], groups: Groups, gone: Set[str], now: datetime) -> Settled:
    """The coupon is used by the earliest order that may use it by what held when that was placed.

    A till's redemption stands before all orders until it is given back. ``gone``: orders of which nothing stands, or
    that name the code no longer: what a till used or keeps for them is free again.
    """
    claims = list(claims)
    held = any(claim.given for claim in claims)
    lost = held or (coupon.state in ("reserved", "redeemed") and coupon.order_id in gone)
    by_till = coupon.state == "redeemed" and not lost
    faults = {claim.order_id: _fault(claim, at, coupon, groups) for at, claim in _standing(claims)}
    winner = None
    after = coupon
    if not by_till:
        winner = next((claim for _, claim in _standing(claims) if faults[claim.order_id] is None), None)
        if winner and winner.occurred_at:
            after = coupon.use(winner.order_id, winner.customer_id, winner.occurred_at)
        elif lost:
            after = coupon.unused(coupon.issued_at, now)
    news = None
    judged = []
    for claim in claims:
        given = claim is winner
        # What loaded history has used, and whose customer was erased, is told to nobody.
        is_new = given and not (claim.told or claim.backfill or coupon.code is None)
        conflict = None
        if claim.order_id in faults and not given and not (by_till and claim.order_id == coupon.order_id):
            conflict = faults[claim.order_id] or "coupon-redeemed"
        # What a till used was told of when it did.
        told = claim.told or is_new or (by_till and claim.order_id == coupon.order_id)
        now_ = _replace(claim, given=given, told=told, conflict=conflict)
        judged.append(now_)
        news = now_ if is_new else news
    return Settled(after, judged, news)


def strangers(coupon: Coupon, claims: Iterable[Claim]) -> set[str]:
    """Under which other ids than its customer's a coupon that is his alone was named."""
    if coupon.bearer:
        return set()
    return {claim.customer_id for _, claim in _standing(claims) if claim.customer_id} - {coupon.customer_id}


def _standing(claims: Iterable[Claim]) -> list[tuple[datetime, Claim]]:
    """In the order in which they may have the coupon."""
    asking = [
        (claim.occurred_at, claim)
        for claim in claims
        if claim.stands and claim.occurred_at and (claim.waived_at is None or claim.occurred_at > claim.waived_at)
    ]
    return sorted(asking, key=lambda one: (one[0], one[1].order_id))


def _fault(claim: Claim, at: datetime, coupon: Coupon, groups: Groups) -> CouponFault | None:
    if not coupon.bearer and claim.customer_id not in groups.members(coupon.customer_id):
        return "not-your-coupon"
    if coupon.voided_at is not None and at >= coupon.voided_at:
        return "coupon-voided"
    return "coupon-expired" if at >= (claim.reserved_until or coupon.expires_at) else None
