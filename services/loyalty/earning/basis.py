"""What of an order earns: the money of its lines that counts, and their pieces, as bought and as returns left them."""

from collections.abc import Mapping, Sequence

from services.loyalty.programmes.domain import Programme
from shared.contracts.orders import Order, OrderLine, spread

Worths = Mapping[str, tuple[int, int]]
"""By line: minor units as bought, and what stands of them."""


def worths(order: Order, programme: Programme) -> Worths | None:
    """The base of an order in the programme's currency, spread over its lines; None where that is what each was paid.

    Money in a currency with a rate is converted in one sum, and its lines have their shares of that.

    A return takes as much of a line's base as of what was paid for it, so all of them together take all of it; of a
    line that was free, as much as of its pieces.
    """
    base = programme.base
    if base.is_paid and order.currency not in programme.rates:
        return None
    discounts = [line.discount if base.before_discount else 0 for line in order.lines]
    taken_off = (0 if base.with_tax else order.tax) + (0 if base.with_shipping else order.shipping)
    whole = programme.converted(max(0, order.total + sum(discounts) - taken_off), order.currency)
    weights = [line.paid + discount for line, discount in zip(order.lines, discounts, strict=True)]
    shares = spread(whole, weights)
    return {line.line_id: (share, share - _back(line, share)) for line, share in zip(order.lines, shares, strict=True)}


def paid_net(order: Order, programme: Programme | None) -> tuple[str, int]:
    """What was paid for an order less what was given back, and its currency: that of the version that judges it, where
    the version has a rate for the order's own. Converted as bought, so that all returns together take all of it."""
    if programme is None or order.currency not in programme.rates:
        return order.currency, order.net
    paid = programme.converted(order.total, order.currency)
    shares = spread(paid, [line.paid for line in order.lines])
    back = sum(_back(line, share) for line, share in zip(order.lines, shares, strict=True))
    return programme.currency, 0 if order.cancelled_at else paid - back


def worth(lines: Sequence[OrderLine], of_lines: Worths | None) -> tuple[int, int]:
    """The base of these lines together, as bought and as it stands."""
    if of_lines is None:
        bought = sum(line.paid for line in lines)
        return bought, bought - sum(line.returned for line in lines)
    return sum(of_lines[line.line_id][0] for line in lines), sum(of_lines[line.line_id][1] for line in lines)


def standing(line: OrderLine) -> int:
    """Thousandths of pieces that nothing was given back for: an amount counts as the pieces it would be paid for."""
    if not line.paid:
        return line.quantity - line.returned_quantity
    if line.returned >= line.paid:
        return 0
    # The least pieces that would be worth that money, as a return of lines rounds it.
    by_money = -(-line.quantity * (2 * line.returned - 1) // (2 * line.paid)) if line.returned else 0
    return line.quantity - max(line.returned_quantity, by_money)


def _back(line: OrderLine, share: int) -> int:
    part, whole = (line.returned, line.paid) if line.paid else (line.returned_quantity, line.quantity)
    return (2 * share * part + whole) // (2 * whole)
