"""The folded states, one row a customer, and the pages of a customer's orders."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec

from services.profile.purchases.domain import Foreign, Purchases
from shared.contracts.orders import Order
from shared.db import Row, Tx, columns, execute, fetch
from shared.messaging import facts

_ENSURE = """
INSERT INTO purchase_states (customer_id) SELECT unnest(CAST(:customers AS text[])) ORDER BY 1 ON CONFLICT DO NOTHING
"""
_LOCK = """
SELECT customer_id, orders, spend, days, first_day, previous_day, last_day, first_at, last_at, last_source,
       last_event_id, elsewhere
FROM purchase_states WHERE customer_id = ANY(:customers) ORDER BY customer_id FOR UPDATE
"""
_SAVE = """
UPDATE purchase_states AS s
SET orders = n.orders, spend = n.spend, days = n.days, first_day = n.first_day, previous_day = n.previous_day,
    last_day = n.last_day, first_at = n.first_at, last_at = n.last_at, last_source = n.last_source,
    last_event_id = n.last_event_id, elsewhere = n.elsewhere
FROM unnest(CAST(:customer_id AS text[]), CAST(:orders AS int[]), CAST(:spend AS bigint[]), CAST(:days AS int[]),
            CAST(:first_day AS date[]), CAST(:previous_day AS date[]), CAST(:last_day AS date[]),
            CAST(:first_at AS timestamptz[]), CAST(:last_at AS timestamptz[]), CAST(:last_source AS text[]),
            CAST(:last_event_id AS text[]), CAST(:elsewhere AS bytea[]))
    AS n (customer_id, orders, spend, days, first_day, previous_day, last_day, first_at, last_at, last_source,
          last_event_id, elsewhere)
WHERE s.customer_id = n.customer_id
"""
_COLUMNS = (
    "customer_id", "orders", "spend", "days", "first_day", "previous_day", "last_day", "first_at", "last_at",
    "last_source", "last_event_id", "elsewhere",
)  # fmt: skip
# An id at a time by the index on (customer_id, occurred_at), backwards; a superseded version falls out by the primary
# key.
_PAGE = """
SELECT o.order_id FROM unnest(CAST(:ids AS text[])) AS person (customer_id) CROSS JOIN LATERAL (
    SELECT key AS order_id, occurred_at FROM facts AS f
    WHERE customer_id = person.customer_id AND kind = 'purchase-recorded'
      AND (CAST(:at AS timestamptz) IS NULL OR occurred_at <= :at)
      AND (CAST(:at AS timestamptz) IS NULL OR (occurred_at, key) < (:at, :order_id))
      AND NOT EXISTS (SELECT 1 FROM facts AS newer
                      WHERE newer.kind = f.kind AND newer.key = f.key AND newer.version > f.version)
    ORDER BY occurred_at DESC, key DESC LIMIT :limit
) AS o ORDER BY o.occurred_at DESC, o.order_id DESC LIMIT :limit
"""
_FACTS = """
SELECT kind, key, version, customer_id, order_id, source, event_id, backfill, body FROM facts
WHERE kind = 'purchase-recorded' AND key = ANY(:orders)
UNION ALL
SELECT kind, key, version, customer_id, order_id, source, event_id, backfill, body FROM facts
WHERE kind <> 'purchase-recorded' AND order_id = ANY(:orders)
"""
_foreign = msgspec.json.Decoder(dict[str, Foreign])


async def lock(tx: Tx, customers: Sequence[str]) -> dict[str, Purchases]:
    """The states of these customers (sorted), each with a row of its own, locked until the transaction ends."""
    await execute(tx, _ENSURE, customers=customers)
    return dict(_read(row) for row in await fetch(tx, _LOCK, customers=customers))


async def save(tx: Tx, states: Mapping[str, Purchases]) -> None:
    """Writes the states of locked customers."""
    rows = [
        (
            customer, s.orders, s.spend, s.days, s.first_day, s.previous_day, s.last_day, s.first_at, s.last_at,
            s.last_source, s.last_event_id,
            msgspec.json.encode(s.elsewhere, order="deterministic") if s.elsewhere else None,
        )
        for customer, s in sorted(states.items())
    ]  # fmt: skip
    await execute(tx, _SAVE, **dict(zip(_COLUMNS, columns(rows, len(_COLUMNS)), strict=True)))


async def page(tx: Tx, ids: Sequence[str], *, after: tuple[datetime, str] | None, limit: int) -> list[Order]:
    """The orders of a person's ids as they stand, newest first."""
    at, order_id = after or (None, None)
    listed = await fetch(tx, _PAGE, ids=list(ids), at=at, order_id=order_id, limit=limit)
    rows = await fetch(tx, _FACTS, orders=[row["order_id"] for row in listed])
    orders = {order.order_id: order for order in facts.assemble(rows)}
    return [orders[row["order_id"]] for row in listed]


def _read(row: Row) -> tuple[str, Purchases]:
    # By position: names cost a microsecond each, and this runs for every customer of every batch.
    customer, *state = cast(Iterable[Any], row.values())
    state[-1] = _foreign.decode(state[-1]) if state[-1] else {}
    return customer, Purchases(*state)
