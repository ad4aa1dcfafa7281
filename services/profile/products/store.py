"""The catalogue: a row a product, the newest by event time."""

from collections.abc import Sequence

from shared.db import Tx, columns, execute
from shared.messaging.events import Event

_KEEP = """
INSERT INTO products AS p (sku, changed_at, source, event_id, body)
SELECT * FROM unnest(CAST(:sku AS text[]), CAST(:changed_at AS timestamptz[]), CAST(:source AS text[]),
                     CAST(:event_id AS text[]), CAST(:body AS bytea[])) AS new (sku)
ORDER BY sku
ON CONFLICT (sku) DO UPDATE SET
    changed_at = excluded.changed_at, source = excluded.source, event_id = excluded.event_id, body = excluded.body
WHERE (excluded.changed_at, excluded.source, excluded.event_id) > (p.changed_at, p.source, p.event_id)
"""
_COLUMNS = ("sku", "changed_at", "source", "event_id", "body")


async def keep(tx: Tx, events: Sequence[Event]) -> None:
    """Writes products, one event each, unless a newer one is known."""
    rows = sorted((event.key, event.time, event.source, event.id, event.body) for event in events)
    await execute(tx, _KEEP, **dict(zip(_COLUMNS, columns(rows, len(_COLUMNS)), strict=True)))
