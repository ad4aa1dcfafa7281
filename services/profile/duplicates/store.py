"""Who shares an address with whom, and which pairs were looked at and rejected."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import RowMapping

from shared.db import Tx, execute, fetch

# Addresses that two to :crowd customers have, by a hash over (kind, digest): pairs come of those few alone.
_PAIRS = """
WITH had AS (
    SELECT DISTINCT p.kind, p.digest, coalesce(s.survivor_id, p.customer_id) AS customer_id
    FROM contact_points AS p LEFT JOIN survivors AS s ON s.customer_id = p.customer_id
    WHERE p.kind IN ('email', 'phone', 'messaging')
), shared AS (
    SELECT kind, array_agg(customer_id) AS customers FROM had
    GROUP BY kind, digest HAVING count(*) BETWEEN 2 AND :crowd
), rejected AS (
    SELECT least(one, other), greatest(one, other) FROM (
        SELECT coalesce(a.survivor_id, r.first_id) AS one, coalesce(b.survivor_id, r.second_id) AS other
        FROM rejected_duplicates AS r
        LEFT JOIN survivors AS a ON a.customer_id = r.first_id LEFT JOIN survivors AS b ON b.customer_id = r.second_id
    ) AS r
), pairs AS (
    SELECT first_id, second_id, array_agg(DISTINCT kind) AS kinds
    FROM shared, unnest(customers) AS first_id, unnest(customers) AS second_id
    WHERE first_id < second_id AND (CAST(:first AS text) IS NULL OR (first_id, second_id) > (:first, :second))
      AND (first_id, second_id) NOT IN (SELECT * FROM rejected)
    GROUP BY first_id, second_id ORDER BY first_id, second_id LIMIT :limit
)
SELECT p.first_id, a.name AS first_name, CAST(a.birthday AS text) AS first_birthday,
       p.second_id, b.name AS second_name, CAST(b.birthday AS text) AS second_birthday, p.kinds
FROM pairs AS p JOIN customers AS a ON a.customer_id = p.first_id JOIN customers AS b ON b.customer_id = p.second_id
ORDER BY p.first_id, p.second_id
"""
_REJECT = """
INSERT INTO rejected_duplicates (first_id, second_id, rejected_at, rejected_by)
VALUES (least(CAST(:first AS text), :second), greatest(CAST(:first AS text), :second), :now, :by)
ON CONFLICT DO NOTHING
"""


async def pairs(tx: Tx, after: tuple[str, str] | None, crowd: int, limit: int) -> Sequence[RowMapping]:
    """Pairs of customers with an address in common, in the order of their ids."""
    first, second = after or (None, None)
    return await fetch(tx, _PAIRS, first=first, second=second, crowd=crowd, limit=limit)


async def reject(tx: Tx, pair: tuple[str, str], by: str, now: datetime) -> None:
    """Notes that a pair is two; once."""
    await execute(tx, _REJECT, first=pair[0], second=pair[1], by=by, now=now)
