"""Points used: what was offered for them, and what became of it."""

from datetime import datetime, timedelta
from typing import Literal, TypeVar

import msgspec

from services.loyalty.coupons.domain import Coupon
from services.loyalty.ledger.spending import Hold
from shared.contracts.types import Money

_T = TypeVar("_T")

QUOTE, HOLD, REDEMPTION = "qt_", "hd_", "rd_"
QUOTED_FOR = timedelta(minutes=15)
"""How long a quote may be made a hold."""
Fulfilment = Literal["open", "sent", "done", "failed"]
_NEXT: dict[Fulfilment, tuple[Fulfilment, ...]] = {
    "open": ("sent", "done", "failed"),
    "sent": ("done", "failed"),
    "failed": ("open", "sent", "done"),
    "done": (),
}


class Terms(msgspec.Struct, frozen=True):
    """What is redeemed: a reward, in the version that was offered, or so many points, for an order where one is named.

    ``price``: what is paid beside the points.
    """

    points: int
    reward_id: str | None = None
    reward_version: int | None = None
    price: Money | None = None
    order_id: str | None = None


class Quote(msgspec.Struct, frozen=True):
    """Terms for an account, as they are until ``expires_at``. One hold is made of it at the most."""

    quote_id: str
    account_id: int
    terms: Terms
    created_at: datetime
    expires_at: datetime


def hold_id_of(quote_id: str) -> str:
    """The id of the hold that is made of a quote: of one quote there is one."""
    return f"{HOLD}{quote_id.removeprefix(QUOTE)}"


def quote_id_of(hold_id: str) -> str:
    """The quote that a hold was made of."""
    return f"{QUOTE}{hold_id.removeprefix(HOLD)}"


class Redemption(msgspec.Struct, frozen=True):
    """Points that were used. ``fulfilment`` where something is to be handed over, by ``due_at`` if one was promised."""

    redemption_id: str
    account_id: int
    terms: Terms
    redeemed_at: datetime
    hold_id: str | None = None
    coupon_id: str | None = None
    fulfilment: Fulfilment | None = None
    fulfilment_at: datetime | None = None
    due_at: datetime | None = None
    rolled_back_at: datetime | None = None
    rolled_back_because: str | None = None

    def is_overdue(self, at: datetime) -> bool:
        """Whether what was promised isn't handed over in time."""
        waits = self.fulfilment in ("open", "sent") and self.rolled_back_at is None
        return waits and self.due_at is not None and at >= self.due_at

    def fulfilled(self, state: Fulfilment, at: datetime) -> "Redemption":
        """The next state of handing over. Raises RedemptionRefusedError."""
        if self.rolled_back_at is not None:
            raise RedemptionRefusedError("rolled-back", "It was rolled back: nothing is to be handed over.")
        if self.fulfilment is None:
            raise RedemptionRefusedError("nothing-to-hand-over", "Nothing is handed over for this redemption.")
        if state == self.fulfilment:
            return self
        if state not in _NEXT[self.fulfilment]:
            raise RedemptionRefusedError("handed-over", f"It is {self.fulfilment}: it can't become {state}.")
        return msgspec.structs.replace(self, fulfilment=state, fulfilment_at=at)


class Redeemed(msgspec.Struct, frozen=True):
    """A redemption, whose it is, and the coupon that it gave."""

    redemption: Redemption
    customer_id: str
    coupon: Coupon | None = None


class Held(msgspec.Struct, frozen=True):
    """A hold, whose it is, and what it is for."""

    hold: Hold
    customer_id: str
    quote: Quote


class NotThereError(LookupError):
    """There is no such customer, reward, quote, hold or redemption."""


def there(found: _T | None) -> _T:
    """What was looked for. Raises NotThereError where that is nothing."""
    if found is None:
        raise NotThereError
    return found


RefusalCode = Literal[
    "quote-expired", "quote-used", "hold-expired", "hold-voided", "hold-committed", "hold-exceeded", "hold-is-whole",
    "rolled-back", "nothing-to-hand-over", "handed-over",
]  # fmt: skip


class RedemptionRefusedError(Exception):
    """What was asked for can't be any more: a stable code and a sentence."""

    def __init__(self, code: RefusalCode, detail: str) -> None:
        super().__init__(code)
        self.code: RefusalCode = code
        self.detail = detail
