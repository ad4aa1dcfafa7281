"""Coupons as they are asked for, valid to the field, and as they are shown."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from services.loyalty.coupons import examples
from services.loyalty.coupons.application import Batch
from services.loyalty.coupons.claims import Claim
from services.loyalty.coupons.codes import shown
from services.loyalty.coupons.domain import RESERVED_FOR, Coupon, CouponFault, State
from services.loyalty.programmes.fields import MoneyBody, Strict
from shared.contracts.types import CUSTOMER_ID, PRINTABLE, Money
from shared.http.auth import Principal

MAX_CUSTOMERS = 10_000
CustomerId = Annotated[str, Field(pattern=CUSTOMER_ID.removesuffix(r"(?!\n)"))]
OrderId = Annotated[str, Field(pattern=PRINTABLE.removesuffix(r"(?!\n)"))]


def _some(percent: str) -> str:
    if not 0 < float(percent) <= 100:
        raise ValueError("more than 0 and not more than 100")
    return percent


Percent = Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,2})?$"), AfterValidator(_some)]


class CouponTerms(Strict):
    """Money or a percentage off an order, of at least ``min_spend``; good to the end of the day of the house that lies
    ``valid_days`` after the day of issue. ``bearer``: whoever has the code may use it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"example": {"discount": {"amount": "100.00", "currency": "TWD"}, "valid_days": 90}},
    )

    discount: MoneyBody | None = None
    percent: Percent | None = None
    valid_days: Annotated[int, Field(ge=0, le=3660)]
    min_spend: MoneyBody | None = None
    bearer: bool = False

    @model_validator(mode="after")
    def _one(self) -> "CouponTerms":
        if (self.discount is None) == (self.percent is None):
            raise ValueError("give either discount or percent")
        if self.discount and self.min_spend and self.discount.currency != self.min_spend.currency:
            raise ValueError("discount and min_spend are of one currency")
        return self

    def document(self) -> dict[str, Any]:
        """As it is kept: JSON, without what wasn't said."""
        return self.model_dump(mode="json", exclude_none=True)


class CouponView(BaseModel):
    """A coupon as it is now. ``code``: for its customer and for who may redeem it; null for others, and where its
    customer was erased. ``order_id``: the order that it is reserved for, or was used for."""

    id: str
    code: str | None
    customer_id: str
    state: State
    state_at: datetime
    discount: MoneyBody | None
    percent: str | None
    min_spend: MoneyBody | None
    bearer: bool
    issued_at: datetime
    expires_at: datetime
    order_id: str | None
    redemption_id: str | None
    batch_id: str | None


class Using(Strict):
    """For which order, by whom, and what it comes to before the coupon, which ``min_spend`` is held against."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"example": {"order_id": "pos:104", "customer_id": "pos:1001"}}
    )

    order_id: OrderId | None = None
    customer_id: CustomerId | None = None
    total: MoneyBody | None = None


class Reserving(Strict):
    """For which order, and for how long."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"example": {"order_id": "pos:104", "minutes": 30}}
    )

    order_id: OrderId
    minutes: Annotated[int, Field(ge=1, le=1440)] = RESERVED_FOR // timedelta(minutes=1)


class Releasing(Strict):
    """By which order; without one by whichever has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": {"order_id": "pos:104"}})

    order_id: OrderId | None = None


class BatchBody(Strict):
    """A coupon for each of these customers, or for each who is in this segment now, all alike, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": examples.ASKED})

    customers: Annotated[list[CustomerId], Field(min_length=1, max_length=MAX_CUSTOMERS)] | None = None
    segment: Annotated[str, Field(pattern=PRINTABLE.removesuffix(r"(?!\n)"))] | None = None
    coupon: CouponTerms
    reason: Annotated[str, Field(min_length=1, max_length=500)]

    @model_validator(mode="after")
    def _to_somebody(self) -> "BatchBody":
        if (self.customers is None) == (self.segment is None):
            raise ValueError("give either customers or segment")
        return self


class ConflictView(BaseModel):
    """An order that names a coupon which it doesn't have, and why."""

    coupon_id: str
    order_id: str
    customer_id: str
    occurred_at: datetime
    conflict: CouponFault


class BatchView(BaseModel):
    """Coupons that were issued together, and how many."""

    id: str
    coupons: int
    coupon: CouponTerms
    reason: str
    issued_at: datetime
    expires_at: datetime


def view(coupon: Coupon, who: Principal) -> CouponView:
    """A coupon as the caller may see it."""
    may_use = who.customer_id is not None or who.has("loyalty:write")
    return CouponView(
        id=coupon.coupon_id,
        code=shown(coupon.code) if coupon.code and may_use else None,
        customer_id=coupon.customer_id,
        state=coupon.state,
        state_at=coupon.state_at,
        discount=_money(coupon.discount),
        percent=coupon.percent,
        min_spend=_money(coupon.min_spend),
        bearer=coupon.bearer,
        issued_at=coupon.issued_at,
        expires_at=coupon.expires_at,
        order_id=coupon.order_id,
        redemption_id=coupon.redemption_id,
        batch_id=coupon.batch_id,
    )


def conflict_view(claim: Claim) -> ConflictView:
    """A conflict as it is shown."""
    return ConflictView.model_validate(claim, from_attributes=True)


def batch_view(batch: Batch) -> BatchView:
    """A batch as it is shown."""
    terms = batch.terms
    return BatchView(
        id=batch.batch_id,
        coupons=batch.coupons,
        coupon=CouponTerms(
            discount=_money(terms.discount),
            percent=terms.percent,
            valid_days=terms.valid_days,
            min_spend=_money(terms.min_spend),
            bearer=terms.bearer,
        ),
        reason=batch.reason,
        issued_at=batch.issued_at,
        expires_at=batch.expires_at,
    )


def _money(money: Money | None) -> MoneyBody | None:
    return MoneyBody(amount=money.amount, currency=money.currency) if money else None
