"""Object mothers: valid events with as little said as the test needs."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.contracts.topics import TOPICS
from shared.messaging.envelope import read_event
from shared.messaging.events import Event
from shared.messaging.records import Record

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
SOURCE = "/shop/tw"

_ids = itertools.count(1)


def money(amount: str, currency: str = "TWD") -> dict[str, str]:
    """Money as events carry it."""
    return {"amount": amount, "currency": currency}


def line(
    line_id: str = "1", *, amount: str = "100", quantity: int | str = 1, currency: str = "TWD", **fields: Any
) -> dict[str, Any]:
    """A line; ``amount`` is the price of one piece."""
    return {"line_id": line_id, "sku": "sku-1", "quantity": quantity, "unit_price": money(amount, currency), **fields}


def purchase(
    customer_id: str = "pos:1",
    order_id: str | None = None,
    *,
    total: str = "100",
    days_ago: float = 0,
    currency: str = "TWD",
    **fields: Any,
) -> dict[str, Any]:
    """The data of a purchase-recorded, ``days_ago`` before NOW, of one line unless ``lines`` says more."""
    return {
        "customer_id": customer_id,
        "order_id": order_id or f"order-{next(_ids)}",
        "occurred_at": at(days_ago),
        "channel": "store",
        "total": money(total, currency),
        "lines": [line(amount=total, currency=currency)],
        **fields,
    }


def returned(order_id: str, *, customer_id: str = "pos:1", days_ago: float = 0, **fields: Any) -> dict[str, Any]:
    """The data of a purchase-returned: one piece of line 1 unless ``lines`` or ``amount`` says otherwise."""
    parts = {} if "amount" in fields else {"lines": [{"line_id": "1", "quantity": 1}]}
    return {
        "customer_id": customer_id,
        "order_id": order_id,
        "return_id": f"return-{next(_ids)}",
        "occurred_at": at(days_ago),
        **parts,
        **fields,
    }


def about_order(order_id: str, *, customer_id: str = "pos:1", days_ago: float = 0) -> dict[str, Any]:
    """The data of a purchase-cancelled or purchase-delivered."""
    return {"customer_id": customer_id, "order_id": order_id, "occurred_at": at(days_ago)}


def at(days_ago: float) -> str:
    """An instant before NOW, in the house's offset."""
    return (NOW - timedelta(days=days_ago)).isoformat()


def cloud_event(topic: str, data: dict[str, Any], *, id: str | None = None, **attributes: Any) -> dict[str, Any]:
    """The data as a structured CloudEvent."""
    return {
        "specversion": "1.0",
        "id": id or f"event-{next(_ids)}",
        "source": SOURCE,
        "type": TOPICS[topic].type,
        "time": data.get("occurred_at", at(0)),
        "datacontenttype": "application/json",
        "data": data,
        **attributes,
    }


def record(topic: str, data: dict[str, Any], **attributes: Any) -> Record:
    """A Kafka record of the event, keyed as the contract says."""
    value = msgspec.json.encode(cloud_event(topic, data, **attributes))
    return Record(topic, str(data[TOPICS[topic].key]).encode(), value)


def event(topic: str, data: dict[str, Any], **attributes: Any) -> Event:
    """The event as a use case gets it."""
    return read_event(msgspec.json.encode(cloud_event(topic, data, **attributes)), NOW)
