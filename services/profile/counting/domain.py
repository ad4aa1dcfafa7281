"""An order as it stands, in one row to count by; and which of its products count as bought together."""

from services.profile.purchases.domain import House, in_house
from services.profile.rates.domain import Rates
from shared.contracts.orders import Order

MOST_ITEMS = 50
"""Products of an order that is still a basket: more is a stock list, which says little of what goes with what, and
costs the square of its length."""

Row = tuple[object, ...]
COLUMNS = (
    "order_id", "customer_id", "occurred_at", "day", "channel", "currency", "total", "net", "counts", "cancelled",
    "skus", "house_total", "house_net", "backfill", "line_skus", "line_categories", "line_sold", "line_returned",
)  # fmt: skip


def row(order: Order, house: House, rates: Rates) -> Row:
    """The columns of an order: money in minor units of its own currency, and of the house's if it has a rate; of each
    line product, category ('' without) and thousandths of a piece, sold and given back."""
    worth = in_house(order, house, rates)
    return (
        order.order_id, order.customer_id, order.occurred_at, house.day(order.occurred_at), order.channel,
        order.currency, order.total, order.net, order.counts, order.cancelled_at is not None, basket(order),
        worth and worth.total, worth and worth.net, order.backfill,
        [line.sku for line in order.lines], [line.category or "" for line in order.lines],
        [line.quantity for line in order.lines], [line.returned_quantity for line in order.lines],
    )  # fmt: skip


def basket(order: Order) -> list[str]:
    """The products that were bought together and kept, sorted; none of an order that doesn't stand."""
    if not order.counts:
        return []
    kept = {line.sku for line in order.lines if line.returned_quantity < line.quantity}
    return sorted(kept) if len(kept) <= MOST_ITEMS else []
