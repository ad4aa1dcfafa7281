"""Points that last as long as their customer buys, where a version says so."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from services.loyalty.programmes.domain import Expiry, Programme
from shared.contracts.orders import Order


def expiries(
    orders: Sequence[Order], versions: Sequence[Programme | None], zone: ZoneInfo
) -> dict[str, datetime]:
    """When the points of those orders expire whose version has purchases extend that, by order.

    ``orders`` are one customer's, sorted; ``versions`` judged them. Each purchase of which something stands gives what
    hadn't expired by then its whole time anew. It gives none less, and brings nothing back.
    """
    ends: dict[str, datetime] = {}
    alive: list[tuple[str, Expiry]] = []
    for order, version in zip(orders, versions, strict=True):
        at = order.occurred_at
        if alive and order.counts:
            anew: dict[Expiry, datetime | None] = {}
            alive = [one for one in alive if at < ends[one[0]]]
            for order_id, expiry in alive:
                if expiry not in anew:
                    anew[expiry] = expiry.at(at, zone)
                ends[order_id] = max(ends[order_id], anew[expiry] or ends[order_id])
        if version and version.expiry.extended and (end := version.expires_at(at, zone)):
            ends[order.order_id] = end
            alive.append((order.order_id, version.expiry))
    return ends
