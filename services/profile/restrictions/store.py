"""When files were restricted and when that was lifted; the state itself is a column of the file."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.profile.restrictions.domain import Restriction
from shared.db import Tx, execute, fetch

_COLUMNS = "customer_id, reason, restricted_by, restricted_at"
_ADD = f"""
INSERT INTO restrictions ({_COLUMNS})
SELECT customer_id, :reason, :by, :now FROM unnest(CAST(:customers AS text[])) AS new (customer_id)
"""
_LIFT = """
UPDATE restrictions SET lifted_by = :by, lifted_at = :now WHERE customer_id = ANY(:customers) AND lifted_at IS NULL
"""
_STANDING = f"""
SELECT {_COLUMNS} FROM restrictions
WHERE customer_id = ANY(:customers) AND lifted_at IS NULL ORDER BY restricted_at, id LIMIT 1
"""


async def add(tx: Tx, customers: Sequence[str], reason: str, by: str, now: datetime) -> None:
    """Notes that these files, none of which is restricted, are restricted from now on."""
    await execute(tx, _ADD, customers=list(customers), reason=reason, by=by, now=now)


async def lift(tx: Tx, customers: Sequence[str], by: str, now: datetime) -> None:
    """Notes that these aren't any more."""
    await execute(tx, _LIFT, customers=list(customers), by=by, now=now)


async def standing(tx: Tx, customers: Sequence[str]) -> Restriction | None:
    """The oldest restriction that stands under one of a person's ids."""
    rows = await fetch(tx, _STANDING, customers=list(customers))
    return msgspec.convert(dict(rows[0]), Restriction) if rows else None
