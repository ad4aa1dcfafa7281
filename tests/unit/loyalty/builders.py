"""Orders and programmes with as little said as a test of the rules needs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.earning.domain import Judgement, fold
from services.loyalty.programmes.domain import Programme
from services.loyalty.programmes.stored import first_programme, read_programme
from shared.contracts.orders import Order, OrderLine, with_returns
from shared.contracts.purchases import PurchaseReturned

ZONE = ZoneInfo("Asia/Taipei")
START = datetime(2026, 3, 1, 4, tzinfo=UTC)


def programme(version: int = 1, **changes: Any) -> Programme:
    """The first version but for the changes."""
    body = {**first_programme("TWD"), **changes}
    return read_programme(version, START, msgspec.json.encode(body))


def order(order_id: str, *amounts: int, day: float = 0, category: str | None = None, **fields: Any) -> Order:
    """An order of a line for each amount (minor units), each of 10 pieces; ``day`` counts from START."""
    lines = tuple(
        OrderLine(str(n), "sku", category, 10_000, amount) for n, amount in enumerate(amounts or (10_000,), start=1)
    )
    at = START + timedelta(days=day)
    total = sum(line.paid for line in lines)
    return Order(order_id, "c-1", at, "/shop", order_id, "web", "TWD", total, lines, **fields)


def back(order_id: str, number: int, *pieces: int, day: float = 1) -> PurchaseReturned:
    """The n-th return of an order: so many pieces of each line."""
    lines = [{"line_id": str(n), "quantity": count} for n, count in enumerate(pieces, start=1) if count]
    fields = {
        "customer_id": "c-1",
        "order_id": order_id,
        "return_id": f"{order_id}-r{number}",
        "occurred_at": START + timedelta(days=day),
        "lines": lines,
    }
    return msgspec.convert(fields, PurchaseReturned)


def judged(orders: Sequence[Order], *versions: Programme) -> list[Judgement]:
    """A history judged by the only version, or by the last one that had started."""

    def version_of(order: Order) -> tuple[Programme | None, int]:
        started = [version for version in versions if version.active_from <= order.occurred_at]
        return (started[-1] if started else None), len(versions)

    return fold(sorted(orders, key=lambda order: order.sort_key), version_of, ZONE)[1]


def points(orders: Sequence[Order], *versions: Programme) -> list[int]:
    """What each order of a history earns."""
    return [judgement.award.points for judgement in judged(orders, *versions)]


__all__ = ["START", "ZONE", "back", "judged", "order", "points", "programme", "with_returns"]
