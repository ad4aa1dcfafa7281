"""The segments that customers are in, as profile told last, and all that it ever told."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.loyalty.segments.domain import Change, Place
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
_ADD = """
INSERT INTO segment_history (customer_id, segment, sequence, class, occurred_at)
SELECT * FROM unnest(CAST(:customers AS text[]), CAST(:segments AS text[]), CAST(:sequences AS bigint[]),
                     CAST(:classes AS text[]), CAST(:ats AS timestamptz[]))
    AS new (customer_id, segment, sequence) ORDER BY customer_id, segment, sequence
ON CONFLICT DO NOTHING
"""
_HISTORY = """
SELECT customer_id, segment, sequence, occurred_at, class FROM segment_history
WHERE customer_id = ANY(:customers) AND segment = ANY(:segments)
"""
_RENAME = """
UPDATE segment_history AS h SET customer_id = new.name
FROM unnest(CAST(:ids AS text[]), CAST(:names AS text[])) AS new (id, name) WHERE h.customer_id = new.id
"""
_HOLD = "SELECT pg_advisory_xact_lock_shared(hashtextextended('roost.loyalty.segments', 0))"
_WAIT = "SELECT pg_advisory_xact_lock(hashtextextended('roost.loyalty.segments', 0))"


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


async def add(tx: Tx, rows: Sequence[tuple[str, str, int, str, datetime]]) -> None:
    """(customer, segment, sequence, class, instant); what is there already, stays."""
    customers, segments, sequences, classes, ats = columns(sorted(rows), 5)
    await execute(
        tx, _ADD, customers=customers, segments=segments, sequences=sequences, classes=classes, ats=ats
    )


async def history(tx: Tx, customers: Sequence[str], segments: Sequence[str]) -> list[tuple[str, str, Change]]:
    """All that was told of these customers in these segments, each with customer and segment."""
    rows = await fetch(tx, _HISTORY, customers=list(customers), segments=list(segments))
    return [
        (row["customer_id"], row["segment"], (row["sequence"], row["occurred_at"], row["class"])) for row in rows
    ]


async def hold(tx: Tx) -> None:
    """A lock that any number may have."""
    await fetch(tx, _HOLD)


async def wait(tx: Tx) -> None:
    """The same lock for one alone."""
    await fetch(tx, _WAIT)


async def forget(tx: Tx, names: Mapping[str, str]) -> int:
    """Deletes where these customers are, and gives what was told other names; how many rows there were."""
    ids, given = columns(sorted(names.items()), 2)
    return await execute(tx, _FORGET, ids=ids) + await execute(tx, _RENAME, ids=ids, names=given)
