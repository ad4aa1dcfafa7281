"""What customers bought, returned, cancelled and received: published by shops, tills and billing systems."""

from typing import Annotated, Literal

from msgspec import Meta, field

from shared.contracts.types import Attributes, CustomerId, Id, Instant, Money, Price, Quantity, Struct, Text

Channel = Literal["web", "app", "store", "phone", "other"]
ReturnReason = Literal["damaged", "wrong-item", "not-as-described", "late", "changed-mind", "other"]
MAX_LINES = 500


class PurchaseLine(Struct):
    """One line of an order. ``discount`` is money for the whole line, not for a piece."""

    line_id: Id
    sku: Id
    quantity: Quantity
    unit_price: Price
    name: Text | None = None
    category: Id | None = None
    discount: Money | None = None


class PurchaseRecorded(Struct):
    """A paid order. A higher ``order_version`` replaces the lower; ``lines: []`` with total 0 empties it."""

    customer_id: CustomerId
    order_id: Id
    occurred_at: Instant
    channel: Channel
    total: Money
    lines: Annotated[tuple[PurchaseLine, ...], Meta(max_length=MAX_LINES)]
    order_version: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    store: Id | None = None
    staff_id: Id | None = None
    tax: Money | None = None
    shipping: Money | None = None
    coupon_codes: Annotated[tuple[Id, ...], Meta(max_length=50)] = ()
    referral_code: Id | None = None
    attributes: Attributes = field(default_factory=dict)

    def __post_init__(self) -> None:
        currency = self.total.currency
        if len({line.line_id for line in self.lines}) != len(self.lines):
            raise ValueError("a line_id stands twice in the order")
        if not self.lines and self.total.minor:
            raise ValueError("an order without lines has total 0")
        for line in self.lines:
            if line.unit_price.currency != currency or (line.discount and line.discount.currency != currency):
                raise ValueError(f"line {line.line_id!r} is not in the order's currency {currency}")


class ReturnLine(Struct):
    """So many pieces of a line came back."""

    line_id: Id
    quantity: Quantity


class PurchaseReturned(Struct):
    """A return of lines, or of an amount: exactly one of the two."""

    customer_id: CustomerId
    order_id: Id
    return_id: Id
    occurred_at: Instant
    lines: Annotated[tuple[ReturnLine, ...], Meta(max_length=MAX_LINES)] = ()
    amount: Money | None = None
    reason: ReturnReason | None = None

    def __post_init__(self) -> None:
        if bool(self.lines) == (self.amount is not None):
            raise ValueError("a return names lines, or an amount, and not both")
        if len({line.line_id for line in self.lines}) != len(self.lines):
            raise ValueError("a line_id stands twice in the return")


class PurchaseCancelled(Struct):
    """The whole order never was."""

    customer_id: CustomerId
    order_id: Id
    occurred_at: Instant


class PurchaseDelivered(Struct):
    """The goods arrived: return windows and follow-ups count from here where it is known."""

    customer_id: CustomerId
    order_id: Id
    occurred_at: Instant
