"""What an order is worth, as the contract defines it: the reading that every service shares.

An order is its highest version. Its ``total`` is spread over the lines by (quantity x unit price - discount)
with the largest remainder, in equal shares where that sums to 0. Of a line of Q pieces, q returned are worth
round(paid x returned so far / Q) minus what was given back before, so the parts sum to the whole.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from shared.contracts.purchases import PurchaseRecorded, PurchaseReturned
from shared.contracts.types import PRICE_PLACES, QUANTITY_PLACES, Money, Quantity, scaled


class OrderLine(msgspec.Struct, frozen=True):
    """A line with the money paid for it and given back, in minor units; quantities in thousandths.

    ``discount``: the money that the line itself was cheaper by.
    """

    line_id: str
    sku: str
    category: str | None
    quantity: int
    paid: int
    returned_quantity: int = 0
    returned: int = 0
    discount: int = 0


class Refund(msgspec.Struct, frozen=True):
    """What one return gave back by line, in minor units; an amount is spread over what is left.

    ``pieces``: the thousandths that came back, by line; none with an amount.
    """

    return_id: str
    occurred_at: datetime
    by_line: tuple[tuple[str, int], ...]
    pieces: tuple[tuple[str, int], ...] = ()

    @property
    def minor(self) -> int:
        return sum(amount for _, amount in self.by_line)


class Order(msgspec.Struct, frozen=True):
    """An order after its versions, returns and cancellation. Money in minor units of ``currency``.

    ``tax`` and ``shipping`` are told as parts of ``total``; in another currency they count as none.
    """

    order_id: str
    customer_id: str
    occurred_at: datetime
    source: str
    event_id: str
    channel: str
    currency: str
    total: int
    lines: tuple[OrderLine, ...]
    version: int = 1
    refunds: tuple[Refund, ...] = ()
    cancelled_at: datetime | None = None
    delivered_at: datetime | None = None
    backfill: bool = False
    store: str | None = None
    tax: int = 0
    shipping: int = 0
    referral_code: str | None = None

    @property
    def sort_key(self) -> tuple[datetime, str, str]:
        """The order of a customer's facts."""
        return (self.occurred_at, self.source, self.event_id)

    @property
    def net(self) -> int:
        """Paid less given back; 0 when cancelled."""
        return 0 if self.cancelled_at else self.total - sum(refund.minor for refund in self.refunds)

    @property
    def counts(self) -> bool:
        """Whether anything of the order stands: not cancelled, not emptied, not given back whole."""
        if self.cancelled_at or (self.total and self.net <= 0):
            return False
        return any(line.returned_quantity < line.quantity for line in self.lines)


def thousandths(quantity: Quantity) -> int:
    """A quantity in thousandths of a piece."""
    return quantity * 1000 if isinstance(quantity, int) else scaled(quantity, QUANTITY_PLACES)


def pieces(thousandths: int) -> str:
    """The decimal string of a quantity in thousandths of a piece."""
    whole, rest = divmod(thousandths, 1000)
    return f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole)


def spread(total: int, weights: Sequence[int]) -> list[int]:
    """``total`` in whole units over the weights, by largest remainder; equal shares if all weigh 0.

    Ties go to the earlier. Neither ``total`` nor a weight is negative.
    """
    if not weights:
        return []
    whole = sum(weights)
    if not whole:
        weights, whole = [1] * len(weights), len(weights)
    shares = [total * weight // whole for weight in weights]
    missing = total - sum(shares)
    if missing:
        by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
        for i in by_remainder[:missing]:
            shares[i] += 1
    return shares


def read_order(purchase: PurchaseRecorded, source: str, event_id: str, *, backfill: bool = False) -> Order:
    """The order that a purchase alone makes: no returns yet."""
    quantities = [thousandths(line.quantity) for line in purchase.lines]
    paid = [purchase.total.minor]
    if len(quantities) != 1:
        weights = [
            max(0, quantity * scaled(line.unit_price.amount, PRICE_PLACES) - _discount(line.discount))
            for quantity, line in zip(quantities, purchase.lines, strict=True)
        ]
        paid = spread(purchase.total.minor, weights)
    return Order(
        order_id=purchase.order_id,
        customer_id=purchase.customer_id,
        occurred_at=purchase.occurred_at,
        source=source,
        event_id=event_id,
        channel=purchase.channel,
        currency=purchase.total.currency,
        total=purchase.total.minor,
        lines=tuple(
            OrderLine(
                line.line_id, line.sku, line.category, quantity, share,
                discount=_part(line.discount, purchase.total.currency),
            )
            for line, quantity, share in zip(purchase.lines, quantities, paid, strict=True)
        ),
        version=purchase.order_version,
        backfill=backfill,
        store=purchase.store,
        tax=_part(purchase.tax, purchase.total.currency),
        shipping=_part(purchase.shipping, purchase.total.currency),
        referral_code=purchase.referral_code,
    )


def with_returns(order: Order, returns: Iterable[PurchaseReturned]) -> Order:
    """The order, as ``read_order`` made it, after all its returns by (occurred_at, return_id); excess is cut.

    An amount in another currency than the order's is not summed: it gives back nothing here.
    """
    lines = {line.line_id: line for line in order.lines}
    refunds: list[Refund] = []
    for fact in sorted(returns, key=lambda fact: (fact.occurred_at, fact.return_id)):
        given: list[tuple[str, int]] = []
        pieces_: list[tuple[str, int]] = []
        if fact.amount is None:
            for part in fact.lines:
                line = lines.get(part.line_id)
                if line is None:
                    continue
                back = min(line.quantity, line.returned_quantity + thousandths(part.quantity))
                worth = max(line.returned, _rounded(line.paid * back, line.quantity))
                given.append((line.line_id, worth - line.returned))
                pieces_.append((line.line_id, back - line.returned_quantity))
                lines[line.line_id] = msgspec.structs.replace(line, returned_quantity=back, returned=worth)
        elif fact.amount.currency == order.currency:
            open_ = [line for line in lines.values() if line.paid > line.returned]
            left = [line.paid - line.returned for line in open_]
            for line, part_ in zip(open_, spread(min(fact.amount.minor, sum(left)), left), strict=True):
                given.append((line.line_id, part_))
                lines[line.line_id] = msgspec.structs.replace(line, returned=line.returned + part_)
        refunds.append(Refund(fact.return_id, fact.occurred_at, tuple(given), tuple(pieces_)))
    return msgspec.structs.replace(order, lines=tuple(lines.values()), refunds=tuple(refunds))


def _part(money: Money | None, currency: str) -> int:
    return money.minor if money and money.currency == currency else 0


def _discount(discount: Money | None) -> int:
    """In the unit of quantity (thousandths) x price (millionths)."""
    return scaled(discount.amount, PRICE_PLACES + QUANTITY_PLACES) if discount else 0


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
