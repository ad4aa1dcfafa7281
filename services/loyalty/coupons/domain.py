"""What a coupon is worth, and what may become of it."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.coupons.codes import Code
from shared.contracts.types import Money

State = Literal["issued", "reserved", "redeemed", "expired", "voided"]
CouponFault = Literal[
    "coupon-redeemed", "coupon-reserved", "coupon-expired", "coupon-voided", "not-your-coupon", "min-spend-not-reached"
]  # fmt: skip
RESERVED_FOR = timedelta(minutes=30)
"""How long an order has a coupon for itself unless it says otherwise."""


class Terms(msgspec.Struct, frozen=True):
    """A coupon to be: ``discount``, or ``percent`` of an order, of at least ``min_spend``; good for so many days.

    ``bearer``: anybody may use it who has the code, not its customer alone.
    """

    discount: Money | None
    percent: str | None
    valid_days: int
    min_spend: Money | None = None
    bearer: bool = False

    def expires_at(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The end of the last day of the house's zone that a coupon issued now is good on, in UTC."""
        after = now.astimezone(zone).date() + timedelta(days=self.valid_days + 1)
        return datetime.combine(after, time(), zone).astimezone(UTC)


class Coupon(msgspec.Struct, frozen=True):
    """A coupon as it was written down last; ``at`` tells what it is. ``code`` is None once its customer was erased.

    ``state_at``: since when it is in this state. ``due_at``: until when, if time alone ends it. ``order_id``: which it
    is reserved for, or was used for; ``redeemed_by`` the customer who used it. ``voided_at``: worthless from then
    on, but for an order that was placed before.
    """

    coupon_id: str
    code: Code | None
    customer_id: str
    bearer: bool
    percent: str | None
    discount: Money | None
    min_spend: Money | None
    issued_at: datetime
    expires_at: datetime
    state: State
    state_at: datetime
    due_at: datetime | None
    order_id: str | None = None
    redeemed_by: str | None = None
    redemption_id: str | None = None
    batch_id: str | None = None
    voided_at: datetime | None = None

    def at(self, now: datetime) -> "Coupon":
        """The coupon as it is then, whether or not that was written down."""
        if self.due_at is None or now < self.due_at:
            return self
        # A reservation outlives the last day of its coupon.
        if now < self.expires_at:
            return self._become("issued", self.due_at, order_id=None)
        return self._become("expired", max(self.due_at, self.expires_at), order_id=None)

    def reserve(self, order_id: str, until: datetime, now: datetime) -> "Coupon":
        """For one order until then. Raises CouponRefused."""
        current = self._open(now, order_id)
        if current.state == "reserved":
            return current
        return current._become("reserved", now, order_id=order_id, until=until)

    def redeem(self, order_id: str | None, redeemed_by: str | None, now: datetime) -> "Coupon":
        """Used up, by its customer where it is his alone. Raises CouponRefused."""
        current = self._open(now, order_id)
        return current.use(order_id, redeemed_by or (None if self.bearer else self.customer_id), now)

    def use(self, order_id: str | None, redeemed_by: str | None, at: datetime) -> "Coupon":
        """Used up at that time, whatever it was."""
        return msgspec.structs.replace(self._become("redeemed", at, order_id=order_id), redeemed_by=redeemed_by)

    def unused(self, since: datetime, now: datetime) -> "Coupon":
        """As it is then without anybody who has it, open again since ``since`` unless it was voided."""
        if self.voided_at is not None:
            return self._become("voided", self.voided_at, order_id=None)
        return self._become("issued", since, order_id=None).at(now)

    def release(self, order_id: str | None, now: datetime) -> "Coupon":
        """Given back by the order that had it reserved or used it, which was not paid or was cancelled: as it was
        before. Raises CouponRefused where another order has it."""
        current = self.at(now)
        if current.state == "voided":
            raise _refused(current)
        if current.state in ("reserved", "redeemed"):
            if order_id is not None and order_id != current.order_id:
                raise _refused(current)
            return current.unused(now, now)
        return current

    def void(self, now: datetime) -> "Coupon":
        """Worth nothing from now on. Raises CouponRefused for one that was used."""
        current = self.at(now)
        if current.state == "redeemed":
            raise _refused(current)
        if current.state == "voided":
            return current
        return msgspec.structs.replace(current._become("voided", now, order_id=None), voided_at=now)

    def _open(self, now: datetime, order_id: str | None) -> "Coupon":
        current = self.at(now)
        if current.state in ("issued", "reserved") and (current.order_id is None or current.order_id == order_id):
            return current
        raise _refused(current)

    def _become(self, state: State, at: datetime, *, order_id: str | None, until: datetime | None = None) -> "Coupon":
        due_at = self.expires_at if state == "issued" else until
        changes = {"state": state, "state_at": at, "due_at": due_at, "order_id": order_id, "redeemed_by": None}
        return msgspec.structs.replace(self, **changes)


class CouponRefused(Exception):
    """What was asked of a coupon it can't do now; ``at`` since when."""

    def __init__(self, code: CouponFault, detail: str, at: datetime | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.at = at


def fresh(
    coupon_id: str, code: Code, customer_id: str, terms: Terms, now: datetime, zone: ZoneInfo, *,
    redemption_id: str | None = None, batch_id: str | None = None,
) -> Coupon:  # fmt: skip
    """A coupon that was issued now."""
    expires_at = terms.expires_at(now, zone)
    return Coupon(
        coupon_id=coupon_id,
        code=code,
        customer_id=customer_id,
        bearer=terms.bearer,
        percent=terms.percent,
        discount=terms.discount,
        min_spend=terms.min_spend,
        issued_at=now,
        expires_at=expires_at,
        state="issued",
        state_at=now,
        due_at=expires_at,
        redemption_id=redemption_id,
        batch_id=batch_id,
    )


def read_terms(body: Mapping[str, Any]) -> Terms:
    """Terms of their body as it is kept."""
    return Terms(
        discount=_money(body.get("discount")),
        percent=body.get("percent"),
        valid_days=body["valid_days"],
        min_spend=_money(body.get("min_spend")),
        bearer=body.get("bearer", False),
    )


_DETAILS: dict[State, tuple[CouponFault, str]] = {
    "redeemed": ("coupon-redeemed", "This coupon was used already."),
    "reserved": ("coupon-reserved", "This coupon is reserved for an order."),
    "expired": ("coupon-expired", "This coupon has expired."),
    "voided": ("coupon-voided", "This coupon was voided."),
}


def _refused(coupon: Coupon) -> CouponRefused:
    code, detail = _DETAILS[coupon.state]
    return CouponRefused(code, detail, coupon.state_at)


def _money(body: Mapping[str, str] | None) -> Money | None:
    return None if body is None else Money(amount=body["amount"], currency=body["currency"])
