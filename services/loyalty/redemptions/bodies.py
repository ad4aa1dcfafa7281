"""What is asked and told of quotes, holds and redemptions."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.loyalty.programmes.bodies import MoneyBody, Strict
from services.loyalty.redemptions import examples
from services.loyalty.redemptions.domain import Held, Quote, Redeemed, Terms
from shared.contracts.types import CUSTOMER_ID, PRINTABLE, Money

CustomerId = Annotated[str, Field(pattern=CUSTOMER_ID.removesuffix(r"(?!\n)"))]
Id = Annotated[str, Field(pattern=PRINTABLE.removesuffix(r"(?!\n)"))]
Points = Annotated[int, Field(strict=True, ge=1, le=10**12)]


class ForOrder(Strict):
    """The order that points are used for."""

    order_id: Id


class Asked(Strict):
    """A reward, or points: one of the two."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [examples.QUOTE_REWARD, examples.QUOTE_POINTS]}
    )

    customer_id: CustomerId
    reward_id: Id | None = None
    points: Points | None = None
    order: ForOrder | None = None

    @model_validator(mode="after")
    def _one(self) -> "Asked":
        if (self.reward_id is None) == (self.points is None):
            raise ValueError("give either reward_id or points")
        return self

    def terms(self) -> Terms:
        """As far as they are said."""
        return Terms(self.points or 0, self.reward_id, order_id=self.order.order_id if self.order else None)


class AskedHold(Strict):
    """``ttl``: seconds until it is void by itself, a day at the most."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"example": {"quote_id": "qt_12", "ttl": 900}}
    )

    quote_id: Id
    ttl: Annotated[int, Field(ge=1, le=86_400)] = 900

    @property
    def lasting(self) -> timedelta:
        """The same as a time."""
        return timedelta(seconds=self.ttl)


class AskedCommit(Strict):
    """``points``: a part of what is held; the rest stays held. All of it where nothing is said."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": {"points": 100}})

    points: Points | None = None


class AskedRollback(Strict):
    """Why it is taken back."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"example": {"reason": "The tin was dented"}}
    )

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class AskedFulfilment(Strict):
    """Where handing over has got to."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": {"state": "sent"}})

    state: Literal["open", "sent", "done", "failed"]


class QuoteView(BaseModel):
    """What it costs, until ``expires_at``. Nothing is kept back."""

    id: str
    reward_id: str | None
    points: int
    price: MoneyBody | None
    order_id: str | None
    created_at: datetime
    expires_at: datetime


class HoldView(BaseModel):
    """Points set aside. ``state``: open, committed, voided, expired."""

    id: str
    customer_id: str
    quote_id: str
    reward_id: str | None
    points: int
    committed: int
    state: str
    created_at: datetime
    expires_at: datetime


class FulfilmentView(BaseModel):
    """Handing over. ``overdue``: it was promised by ``due_at``, and isn't done."""

    state: str
    due_at: datetime | None
    changed_at: datetime | None
    overdue: bool


class RedemptionView(BaseModel):
    """Points used. ``coupon_code`` where the reward is one; ``fulfilment`` where something is handed over."""

    id: str
    customer_id: str
    hold_id: str | None
    reward_id: str | None
    points: int
    price: MoneyBody | None
    order_id: str | None
    coupon_code: str | None
    fulfilment: FulfilmentView | None
    redeemed_at: datetime
    rolled_back_at: datetime | None
    rolled_back_because: str | None


def quote_view(quote: Quote) -> QuoteView:
    """A quote as it is told."""
    terms = quote.terms
    return QuoteView(
        id=quote.quote_id,
        reward_id=terms.reward_id,
        points=terms.points,
        price=_money(terms.price),
        order_id=terms.order_id,
        created_at=quote.created_at,
        expires_at=quote.expires_at,
    )


def hold_view(held: Held) -> HoldView:
    """A hold as it is told."""
    hold = held.hold
    return HoldView(
        id=hold.hold_id,
        customer_id=held.customer_id,
        quote_id=held.quote.quote_id,
        reward_id=held.quote.terms.reward_id,
        points=hold.points,
        committed=hold.committed,
        state=hold.state,
        created_at=hold.created_at,
        expires_at=hold.expires_at,
    )


def redemption_view(redeemed: Redeemed, now: datetime) -> RedemptionView:
    """A redemption as it is told."""
    redemption, terms = redeemed.redemption, redeemed.redemption.terms
    fulfilment = None
    if redemption.fulfilment is not None:
        fulfilment = FulfilmentView(
            state=redemption.fulfilment,
            due_at=redemption.due_at,
            changed_at=redemption.fulfilment_at,
            overdue=redemption.is_overdue(now),
        )
    return RedemptionView(
        id=redemption.redemption_id,
        customer_id=redeemed.customer_id,
        hold_id=redemption.hold_id,
        reward_id=terms.reward_id,
        points=terms.points,
        price=_money(terms.price),
        order_id=terms.order_id,
        coupon_code=redeemed.coupon.code if redeemed.coupon else None,
        fulfilment=fulfilment,
        redeemed_at=redemption.redeemed_at,
        rolled_back_at=redemption.rolled_back_at,
        rolled_back_because=redemption.rolled_back_because,
    )


def _money(money: Money | None) -> MoneyBody | None:
    return MoneyBody(amount=money.amount, currency=money.currency) if money else None
