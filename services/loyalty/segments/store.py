"""The segments that customers are in, as profile told last."""

from collections.abc import Sequence
from datetime import datetime

from shared.db import Tx, columns, execute, fetch

_SAVE = """
INSERT INTO customer_segments AS s (customer_id, segment, class, sequence, changed_at)
SELECT * FROM unnest(CAST(:customers AS text[]), CAST(:segments AS text[]), CAST(:classes AS text[]),
                     CAST(:sequences AS bigint[]), CAST(:ats AS timestamptz[]))
    AS new (customer_id, segment, class, sequence, changed_at)
ORDER BY customer_id, segment
ON CONFLICT (customer_id, segment) DO UPDATE
SET class = excluded.class, sequence = excluded.sequence, changed_at = excluded.changed_at
WHERE s.sequence < excluded.sequence
"""
_IN_ANY = """
SELECT EXISTS (
    SELECT 1
    FROM accounts AS a JOIN customer_segments AS s USING (customer_id)
        JOIN unnest(CAST(:segments AS text[]), CAST(:classes AS text[])) AS w (segment, class) USING (segment, class)
    WHERE a.account_id = ANY(:accounts)) AS found
"""
_MEMBERS = """
SELECT customer_id FROM customer_segments WHERE segment = :segment AND class = :within ORDER BY customer_id LIMIT :limit
"""
_FORGET = "DELETE FROM customer_segments WHERE customer_id = ANY(:ids)"

Place = tuple[str, str]
"""A segment and a class of it."""


async def save(tx: Tx, rows: Sequence[tuple[str, str, str, int, datetime]]) -> None:
    """(customer, segment, class, sequence, instant), one a customer and segment; older ones than what stands fall."""
    customers, segments, classes, sequences, ats = columns(sorted(rows), 5)
    await execute(
        tx, _SAVE, customers=customers, segments=segments, classes=classes, sequences=sequences, ats=ats
    )


async def in_any(tx: Tx, accounts: Sequence[int], places: Sequence[Place]) -> bool:
    """Whether somebody of these accounts is in one of these places."""
    segments, classes = columns(list(places), 2)
    rows = await fetch(tx, _IN_ANY, accounts=list(accounts), segments=segments, classes=classes)
    return bool(rows[0]["found"])


async def members(tx: Tx, place: Place, limit: int) -> list[str]:
    """Customers in a place, by their ids."""
    segment, within = place
    return [row["customer_id"] for row in await fetch(tx, _MEMBERS, segment=segment, within=within, limit=limit)]


async def forget(tx: Tx, ids: Sequence[str]) -> int:
    """Deletes what is known of these customers; how many rows there were."""
    return await execute(tx, _FORGET, ids=list(ids))
