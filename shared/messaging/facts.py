"""The facts: every order, return, cancellation, delivery, activity and feedback under its own key, for ever.

They are the state; what a service says of a customer is a fold over them. The newest plain purchase may be folded
on its own, everything else folds its customers again: ``record`` tells which is which.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shared.contracts.behaviour import ActivityRecorded, FeedbackReceived
from shared.contracts.orders import Order, read_order, with_returns
from shared.contracts.purchases import PurchaseCancelled, PurchaseDelivered, PurchaseRecorded, PurchaseReturned
from shared.contracts.topics import TOPICS
from shared.db import Row, Tx, columns, copy, fetch
from shared.messaging.events import Event, Rejection

PURCHASE = "purchase-recorded"
ORDER_KINDS = (PURCHASE, "purchase-returned", "purchase-cancelled", "purchase-delivered")
COLUMNS = (
    "kind", "key", "version", "customer_id", "order_id", "occurred_at", "source", "event_id", "digest", "backfill",
    "body",
)  # fmt: skip

# One row for all: counted, no lock has a row of its own to be sent and read.
_LOCK_ORDERS = """
SELECT count(pg_advisory_xact_lock(hash))
FROM (SELECT DISTINCT hashtextextended(id, 1) AS hash FROM unnest(CAST(:orders AS text[])) id ORDER BY hash) sorted
"""
_KNOWN = """
SELECT f.kind, f.key, f.version, f.digest
FROM facts f JOIN unnest(CAST(:kinds AS text[]), CAST(:keys AS text[]), CAST(:versions AS int[]))
    AS wanted (kind, key, version) USING (kind, key, version)
"""
_INSERT = """
INSERT INTO facts (kind, key, version, customer_id, order_id, occurred_at, source, event_id, digest, backfill, body)
SELECT * FROM unnest(
    CAST(:kind AS text[]), CAST(:key AS text[]), CAST(:version AS int[]), CAST(:customer_id AS text[]),
    CAST(:order_id AS text[]), CAST(:occurred_at AS timestamptz[]), CAST(:source AS text[]),
    CAST(:event_id AS text[]), CAST(:digest AS bytea[]), CAST(:backfill AS boolean[]), CAST(:body AS bytea[]))
    AS new (kind, key, version)
ORDER BY kind, key, version
ON CONFLICT DO NOTHING
RETURNING kind, key, version
"""
_STANDING = "SELECT kind, key, version FROM facts WHERE kind = ANY(:kinds) AND key = ANY(:keys)"
# More is known of them than one first version. Few are: two index scans that mostly find nothing.
_ENTANGLED = """
SELECT key AS order_id FROM facts WHERE kind = 'purchase-recorded' AND key = ANY(:orders) AND version > 1
UNION
SELECT order_id FROM facts WHERE kind <> 'purchase-recorded' AND order_id = ANY(:orders)
"""
# Two index scans: purchases by their key, the rest by the partial index on order_id.
_OF_ORDERS = """
SELECT key AS order_id, customer_id FROM facts WHERE kind = 'purchase-recorded' AND key = ANY(:orders)
UNION
SELECT order_id, customer_id FROM facts WHERE kind <> 'purchase-recorded' AND order_id = ANY(:orders)
"""
_ORDERS_OF_CUSTOMERS = """
SELECT DISTINCT coalesce(order_id, key) AS order_id FROM facts
WHERE customer_id = ANY(:customers) AND kind = ANY(:kinds)
"""
_OF_CUSTOMERS = """
SELECT kind, key, version, customer_id, order_id, source, event_id, backfill, body FROM facts
WHERE customer_id = ANY(:customers) AND kind = ANY(:kinds)
"""
_FULL_OF_ORDERS = """
SELECT kind, key, version, customer_id, order_id, source, event_id, backfill, body FROM facts
WHERE kind = 'purchase-recorded' AND key = ANY(:orders)
UNION ALL
SELECT kind, key, version, customer_id, order_id, source, event_id, backfill, body FROM facts
WHERE kind <> 'purchase-recorded' AND order_id = ANY(:orders)
"""
FactKey = tuple[str, str, int]
_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(topic.data) for name, topic in TOPICS.items()
}


@dataclass(slots=True)
class Recorded:
    """What of a batch became facts.

    ``plain``: first versions of orders that nothing else is known of, by customer, sorted: they may be folded on
    their own if they are the customer's newest. ``refold``: customers whose facts must be folded again.
    """

    fresh: list[Event] = field(default_factory=list)
    duplicates: list[Event] = field(default_factory=list)
    conflicts: list[Rejection] = field(default_factory=list)
    plain: dict[str, list[Event]] = field(default_factory=dict)
    refold: set[str] = field(default_factory=set)

    @property
    def customers(self) -> list[str]:
        """Everybody concerned, sorted: the order of locks."""
        return sorted(self.plain.keys() | self.refold)


async def record(tx: Tx, events: Sequence[Event]) -> Recorded:
    """Writes events down under their natural keys, and tells whom they concern.

    Takes a lock per order until the transaction ends, because facts of one order may arrive under two customers.
    Same key and content is a duplicate; same key and other content a conflict (``key-conflict``): the first stays.
    """
    recorded = Recorded()
    orders = sorted({event.data.order_id for event in events if _concerns_order(event)})
    if orders:
        await fetch(tx, _LOCK_ORDERS, orders=orders)
    await _insert(tx, events, recorded)
    await _sort_out(tx, recorded)
    return recorded


async def orders_of(tx: Tx, customers: Iterable[str]) -> dict[str, list[Order]]:
    """Each customer's orders as all facts have them now, sorted by (occurred_at, source, id)."""
    wanted = sorted(set(customers))
    if not wanted:
        return {}
    found = await fetch(tx, _ORDERS_OF_CUSTOMERS, customers=wanted, kinds=list(ORDER_KINDS))
    rows = await fetch(tx, _FULL_OF_ORDERS, orders=[row["order_id"] for row in found])
    by_customer: dict[str, list[Order]] = {customer: [] for customer in wanted}
    for order in assemble(rows):
        if order.customer_id in by_customer:
            by_customer[order.customer_id].append(order)
    for orders in by_customer.values():
        orders.sort(key=lambda order: order.sort_key)
    return by_customer


async def signs_of(tx: Tx, customers: Iterable[str], kind: str) -> dict[str, list[Event]]:
    """Each customer's facts of another kind (activity, feedback, …), sorted by (occurred_at, source, id)."""
    wanted = sorted(set(customers))
    by_customer: dict[str, list[Event]] = {customer: [] for customer in wanted}
    for row in await fetch(tx, _OF_CUSTOMERS, customers=wanted, kinds=[kind]):
        data = _decoders[kind].decode(row["body"])
        customer, body = row["customer_id"], row["body"]
        by_customer[customer].append(
            Event(TOPICS[kind], row["source"], row["event_id"], data.occurred_at, data, body, b"", customer)
        )
    for events in by_customer.values():
        events.sort(key=lambda event: (event.time, event.source, event.id))
    return by_customer


async def orders(tx: Tx, order_ids: Iterable[str]) -> list[Order]:
    """These orders as all facts have them now; one without a purchase isn't among them."""
    return assemble(await fetch(tx, _FULL_OF_ORDERS, orders=sorted(set(order_ids))))


def order_of(event: Event) -> Order:
    """The order that a plain purchase makes."""
    assert isinstance(event.data, PurchaseRecorded)
    return read_order(event.data, event.source, event.id, backfill=event.backfill)


def assemble(rows: Iterable[Row]) -> list[Order]:
    """Orders from stored facts: the highest version, its returns, its cancellation, its delivery."""
    winners: dict[str, Row] = {}
    returns: dict[str, list[PurchaseReturned]] = defaultdict(list)
    cancelled: dict[str, PurchaseCancelled] = {}
    delivered: dict[str, PurchaseDelivered] = {}
    for row in rows:
        order_id = row["order_id"] or row["key"]
        if row["kind"] == PURCHASE:
            known = winners.get(order_id)
            if known is None or row["version"] > known["version"]:
                winners[order_id] = row
            continue
        data = _decoders[row["kind"]].decode(row["body"])
        if isinstance(data, PurchaseReturned):
            returns[order_id].append(data)
        elif isinstance(data, PurchaseCancelled):
            cancelled[order_id] = data
        elif isinstance(data, PurchaseDelivered):
            delivered[order_id] = data
    return [
        _order(row, returns[order_id], cancelled.get(order_id), delivered.get(order_id))
        for order_id, row in winners.items()
    ]


def natural_key(event: Event) -> tuple[str, str, int]:
    """(kind, key, version) of an event: the id that its publisher gave the fact itself."""
    data = event.data
    match data:
        case PurchaseRecorded():
            return PURCHASE, data.order_id, data.order_version
        case PurchaseReturned():
            return event.topic.name, data.return_id, 1
        case PurchaseCancelled() | PurchaseDelivered():
            return event.topic.name, data.order_id, 1
        case ActivityRecorded():
            return event.topic.name, data.activity_id, 1
        case FeedbackReceived():
            return event.topic.name, data.feedback_id, 1
        case _:
            return event.topic.name, f"{event.source} {event.id}", 1


async def _insert(tx: Tx, events: Sequence[Event], recorded: Recorded) -> None:
    first: dict[tuple[str, str, int], Event] = {}
    again: list[tuple[tuple[str, str, int], Event]] = []
    for event in events:
        key = natural_key(event)
        if first.setdefault(key, event) is not event:
            again.append((key, event))
    if not first:
        return
    guarded = {key: event for key, event in first.items() if _is_guarded(event)}
    fresh = await _copy(tx, guarded)
    rows = [_row(key, event) for key, event in first.items() if key not in guarded]
    if rows:
        inserted = await fetch(tx, _INSERT, **dict(zip(COLUMNS, columns(rows, len(COLUMNS)), strict=True)))
        fresh |= {(row["kind"], row["key"], row["version"]) for row in inserted}
    digests = {key: event.digest for key, event in first.items()}
    if len(fresh) < len(first):
        kinds, keys, versions = columns([key for key in first if key not in fresh], 3)
        for row in await fetch(tx, _KNOWN, kinds=kinds, keys=keys, versions=versions):
            digests[row["kind"], row["key"], row["version"]] = row["digest"]
    for key, event in first.items():
        if key in fresh:
            recorded.fresh.append(event)
        else:
            _judge(recorded, key, event, digests[key])
    for key, event in again:
        _judge(recorded, key, event, digests[key])


async def _copy(tx: Tx, guarded: Mapping[FactKey, Event]) -> set[FactKey]:
    """Writes those that aren't known, and answers their keys. Nobody else can write them meanwhile.

    COPY takes half of what the INSERT takes, of this process and of the database: asyncpg looks at every element of
    an array to see whether it is an array itself.
    """
    if not guarded:
        return set()
    kinds, keys, _ = columns(sorted(guarded), 3)
    rows = await fetch(tx, _STANDING, kinds=sorted(set(kinds)), keys=keys)
    fresh = guarded.keys() - {(row["kind"], row["key"], row["version"]) for row in rows}
    if fresh:
        await copy(tx, "facts", COLUMNS, [_row(key, event) for key, event in guarded.items() if key in fresh])
    return fresh


def _is_guarded(event: Event) -> bool:
    """Whether this transaction alone can write the fact: its order is locked, or its key is its row in the inbox."""
    return event.topic.name == PURCHASE or bool(event.topic.publishers)


async def _sort_out(tx: Tx, recorded: Recorded) -> None:
    orders = sorted({event.data.order_id for event in recorded.fresh if _concerns_order(event)})
    entangled = {row["order_id"] for row in await fetch(tx, _ENTANGLED, orders=orders)} if orders else set()
    if entangled:
        concerned = await fetch(tx, _OF_ORDERS, orders=sorted(entangled))
        recorded.refold.update(row["customer_id"] for row in concerned)
    for event in recorded.fresh:
        if event.topic.name == PURCHASE and event.data.order_id not in entangled:
            recorded.plain.setdefault(event.data.customer_id, []).append(event)
    for events in recorded.plain.values():
        events.sort(key=lambda event: (event.data.occurred_at, event.source, event.id))


def _judge(recorded: Recorded, key: tuple[str, str, int], event: Event, digest: bytes) -> None:
    if event.digest == digest:
        recorded.duplicates.append(event)
    else:
        kind, name, version = key
        detail = f"{kind} {name} (version {version}) was recorded before with other data; the first one stands"
        recorded.conflicts.append(Rejection(event, "key-conflict", detail, "/data"))


def _concerns_order(event: Event) -> bool:
    return event.topic.name in ORDER_KINDS


def _row(key: tuple[str, str, int], event: Event) -> tuple[object, ...]:
    data = event.data
    order_id = data.order_id if event.topic.name != PURCHASE and _concerns_order(event) else None
    return (
        *key, data.customer_id, order_id, getattr(data, "occurred_at", event.time), event.source, event.id,
        event.digest, event.backfill, event.body,
    )  # fmt: skip


def _order(
    row: Row,
    returns: list[PurchaseReturned],
    cancelled: PurchaseCancelled | None,
    delivered: PurchaseDelivered | None,
) -> Order:
    purchase = _decoders[PURCHASE].decode(row["body"])
    order = read_order(purchase, row["source"], row["event_id"], backfill=row["backfill"])
    if returns:
        order = with_returns(order, returns)
    if cancelled or delivered:
        order = msgspec.structs.replace(
            order,
            cancelled_at=cancelled.occurred_at if cancelled else None,
            delivered_at=delivered.occurred_at if delivered else None,
        )
    return order
