"""What a fit reads of the facts, and the lock that lets one fit run at a time."""

from services.churn.models.domain import Ints
from services.churn.vectors import vectors
from shared.db import Tx, fetch

_LEAD = "SELECT pg_try_advisory_xact_lock(hashtextextended('churn.training', 0)) AS leads"
# Two hash anti-joins over the purchases; a person is a 64-bit hash, so that no text leaves the database.
_PURCHASE_DAYS = """
SELECT hashtextextended(coalesce(s.survivor_id, f.customer_id), 0),
    (f.occurred_at AT TIME ZONE $1)::date - DATE '0001-01-01' + 1
FROM facts f LEFT JOIN survivors s ON s.customer_id = f.customer_id
WHERE f.kind = 'purchase-recorded'
AND NOT EXISTS (SELECT FROM facts v WHERE v.kind = f.kind AND v.key = f.key AND v.version > f.version)
AND NOT EXISTS (SELECT FROM facts c WHERE c.kind = 'purchase-cancelled' AND c.key = f.key)
"""


async def lead(tx: Tx) -> bool:
    """Whether this transaction is the one that trains."""
    return bool((await fetch(tx, _LEAD))[0]["leads"])


async def purchase_days(tx: Tx, zone: str) -> tuple[Ints, Ints]:
    """(customer, day) of each order's highest version that was not cancelled, (m,) each; days are ordinals in the
    zone. What was given back later still was a purchase on its day."""
    found = await vectors(tx, _PURCHASE_DAYS, zone, columns={"customer": "int8", "day": "int4"})
    return found["customer"], found["day"]
