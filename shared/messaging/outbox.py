"""The outbox: what a transaction decides to publish is written with it, and published after it, for sure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from shared.contracts.erasures import PSEUDONYM
from shared.contracts.topics import BY_DATA
from shared.contracts.types import Derived
from shared.db import Tx, columns, copy, execute, fetch
from shared.messaging.envelope import CONTENT_TYPE, write_event
from shared.observability import child_of, current_traceparent, new_traceparent

UNNUMBERED = 1
"""What a decision writes as ``sequence``: the outbox gives the number."""

_NUMBER = """
INSERT INTO sequences AS s (customer_id, last)
SELECT customer_id, n FROM unnest(CAST(:ids AS text[]), CAST(:counts AS bigint[])) AS new (customer_id, n)
ORDER BY customer_id
ON CONFLICT (customer_id) DO UPDATE SET last = s.last + excluded.last
RETURNING customer_id, last
"""
# In the order of the rows, as their ids have to be.
_INSERT = """
INSERT INTO outbox (topic, key, value, headers, created_at)
SELECT topic, key, value, headers, created_at
FROM unnest(CAST(:topic AS text[]), CAST(:key AS bytea[]), CAST(:value AS bytea[]), CAST(:headers AS bytea[]),
            CAST(:created_at AS timestamptz[])) WITH ORDINALITY AS new (topic, key, value, headers, created_at, n)
ORDER BY n
"""
_FEW = 16
"""Up to here an INSERT costs less than a COPY."""
_FORGET = """
DELETE FROM outbox USING unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:offsets AS bigint[]))
    AS done (topic, part, upto)
WHERE outbox.topic = done.topic AND published_partition = part AND published_offset < upto
"""
_AGAIN = """
UPDATE outbox SET published_partition = NULL, published_offset = NULL WHERE published_offset IS NOT NULL
"""
_headers = msgspec.json.Decoder(dict[str, str])
_COLUMNS = ("topic", "key", "value", "headers", "created_at")


class Outgoing(msgspec.Struct, frozen=True):
    """A decided event, and the trace it continues: without one that of the request in hand, or one of the batch.

    ``backfill``: loaded history alone has led to it, so it sets off nothing either.
    """

    data: Derived
    traceparent: str | None = None
    backfill: bool = False


class Waiting(msgspec.Struct, frozen=True):
    """A record as it will be published, its bytes already made."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str] = {}


async def append(tx: Tx, service: str, events: Sequence[Outgoing], now: datetime) -> None:
    """Numbers the events per customer without gaps, and writes them down in their order.

    ``occurred_at`` of an event's data, where it has one, is the event's time; else ``now``. Nothing is published of
    the erased, whose orders and points run their course without a name.
    """
    events = [event for event in events if not event.data.customer_id.startswith(PSEUDONYM)]
    if not events:
        return
    wanted = Counter(event.data.customer_id for event in events)
    ids, counts = columns(sorted(wanted.items()), 2)
    last = {row["customer_id"]: row["last"] for row in await fetch(tx, _NUMBER, ids=ids, counts=counts)}
    following = {customer: last[customer] - wanted[customer] for customer in wanted}
    records = []
    trace = current_traceparent.get() or new_traceparent()
    # What one transaction says on behalf of one request or event is of one span.
    spans: dict[str, Mapping[str, str]] = {}
    for event in events:
        customer = event.data.customer_id
        following[customer] = sequence = following[customer] + 1
        data = msgspec.structs.replace(event.data, sequence=sequence)
        value = write_event(
            data,
            source=f"/roost/{service}",
            id=f"{customer}:{sequence}",
            time=getattr(data, "occurred_at", now),
            backfill=event.backfill,
        )
        parent = event.traceparent or trace
        headers = spans.get(parent) or spans.setdefault(parent, {"traceparent": child_of(parent)})
        records.append(Waiting(BY_DATA[type(data)].name, customer.encode(), value, headers))
    await append_records(tx, records, now)


async def append_records(tx: Tx, records: Sequence[Waiting], now: datetime) -> None:
    """Writes records whose bytes stand already: incoming events handed on, dead letters."""
    if not records:
        return
    rows = [(r.topic, r.key, r.value, msgspec.json.encode(r.headers), now) for r in records]
    if len(rows) <= _FEW:
        await execute(tx, _INSERT, **dict(zip(_COLUMNS, columns(rows, len(_COLUMNS)), strict=True)))
    else:
        await copy(tx, "outbox", _COLUMNS, rows)


async def forget(tx: Tx, committed: Mapping[tuple[str, int], int]) -> int:
    """Deletes published rows below the offset that every group has committed, by (topic, partition)."""
    topics, partitions, offsets = columns([(*place, upto) for place, upto in sorted(committed.items())], 3)
    return await execute(tx, _FORGET, topics=topics, partitions=partitions, offsets=offsets)


async def publish_again(tx: Tx) -> int:
    """Marks every published row as waiting: the broker that had them is gone."""
    return await execute(tx, _AGAIN)


def record_headers(headers: bytes) -> list[tuple[str, bytes]]:
    """The Kafka headers of a stored row; a structured CloudEvent where it doesn't say what else it is."""
    stored = _headers.decode(headers)
    named = [(name, value.encode()) for name, value in stored.items()]
    return named if "content-type" in stored else [("content-type", CONTENT_TYPE), *named]
