"""What the ledger's entries come to by the month in which points were issued: one statement, one moment."""

from collections.abc import Sequence
from datetime import datetime

from shared.db import Row, Tx, fetch

# A lot's month and version are those of its first entry: whatever becomes known later, they stay. What a take passed on
# is spread over its lots; what is owed for points that were never its person's is of no month.
_MOVEMENTS = """
WITH known AS (
    SELECT account_id, seq, origin, source_id, kind, debit, credit, points, known_at FROM ledger
    WHERE known_at <= :as_of
), opened AS (
    SELECT account_id, origin, source_id, min(seq) AS seq FROM known WHERE origin <> 'take'
    GROUP BY account_id, origin, source_id
), lot AS (
    SELECT DISTINCT ON (o.origin, o.source_id) o.origin, o.source_id, e.programme_version AS version,
           CAST(date_trunc('month', e.occurred_at AT TIME ZONE :zone) AS date) AS issued
    FROM opened AS o JOIN ledger AS e USING (account_id, seq)
    ORDER BY o.origin, o.source_id, e.known_at, o.account_id
), passed_on AS (
    SELECT p.origin, p.source_id, k.debit, k.credit, p.points, k.known_at
    FROM known AS k JOIN takes AS t ON t.take_id = k.source_id
        CROSS JOIN LATERAL unnest(t.origins, t.source_ids, t.portions) AS p (origin, source_id, points)
    WHERE k.origin = 'take' AND k.kind IN ('adjusted', 'transferred')
), moved AS (
    SELECT lot.issued, lot.version, k.debit, k.credit, k.points, k.known_at
    FROM known AS k JOIN lot USING (origin, source_id) WHERE k.origin <> 'take'
    UNION ALL
    SELECT lot.issued, lot.version, p.debit, p.credit, p.points, p.known_at
    FROM passed_on AS p LEFT JOIN lot USING (origin, source_id)
    UNION ALL
    SELECT NULL, NULL, debit, credit, points, known_at FROM known
    WHERE origin = 'take' AND kind NOT IN ('adjusted', 'transferred')
)
SELECT m.issued, m.version, CAST(date_trunc('month', m.known_at AT TIME ZONE :zone) AS date) AS booked, side.book,
       CAST(sum(side.points) AS bigint) AS points
FROM moved AS m CROSS JOIN LATERAL (VALUES (m.credit, m.points), (m.debit, - m.points)) AS side (book, points)
GROUP BY 1, 2, 3, 4 HAVING sum(side.points) <> 0
ORDER BY 1 NULLS LAST, 2, 3, 4
"""


async def movements(tx: Tx, as_of: datetime, zone: str) -> Sequence[Row]:
    """What was written down until then, credits less debits, by (issued, version, booked, book): the month in which the
    points were issued, the version that issued them, the month in which it was written down; months by their first day,
    in that zone."""
    return await fetch(tx, _MOVEMENTS, as_of=as_of, zone=zone)
