"""The files and their contact points: the only tables with names, phones and e-mails."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.profile.customers.domain import EDITABLE, OF_THE_ROW, CustomerFile
from shared.db import Tx, execute, fetch

_MEET = """
INSERT INTO customers (customer_id, bare, created_at, updated_at)
SELECT customer_id, true, :now, :now FROM unnest(CAST(:customers AS text[])) AS new (customer_id)
ORDER BY customer_id
ON CONFLICT DO NOTHING
RETURNING customer_id
"""
_FIND = """
SELECT customer_id, created_at, updated_at, version, bare, kind, name, locale, time_zone, tags, owner, tenure_start,
       preferred_channel, preferred_hours, preferred_every_days, interests, price_sensitivity,
       CAST(birthday AS text) AS birthday, CAST(attributes AS text) AS attributes,
       (SELECT CAST(json_agg(json_build_object('kind', p.kind, 'value', p.value, 'verified', p.verified)
                             ORDER BY p.position) AS text)
        FROM contact_points AS p WHERE p.customer_id = c.customer_id) AS contact_points
FROM customers AS c WHERE customer_id = :customer
"""
_EXISTS = "SELECT 1 FROM customers WHERE customer_id = :customer"
_INSERT = """
INSERT INTO customers (customer_id, created_at, updated_at, version, bare) VALUES (:customer_id, :now, :now, 1, false)
ON CONFLICT DO NOTHING
"""
_UPDATE = """
UPDATE customers
SET version = :version, bare = :bare, updated_at = :updated_at, kind = :kind, name = :name, locale = :locale,
    time_zone = :time_zone, birthday = CAST(:birthday AS jsonb), tags = :tags, owner = :owner,
    tenure_start = :tenure_start, preferred_channel = :preferred_channel, preferred_hours = :preferred_hours,
    preferred_every_days = :preferred_every_days, interests = :interests, price_sensitivity = :price_sensitivity,
    attributes = CAST(:attributes AS jsonb)
WHERE customer_id = :customer_id
"""
_DROP_POINTS = "DELETE FROM contact_points WHERE customer_id = :customer"
_POINTS = """
INSERT INTO contact_points (customer_id, position, kind, value, verified)
SELECT :customer, n, kind, value, verified
FROM unnest(CAST(:kinds AS text[]), CAST(:addresses AS text[]), CAST(:verified AS boolean[]))
    WITH ORDINALITY AS new (kind, value, verified, n)
"""
_JSON = ("birthday", "attributes", "contact_points")


async def meet(tx: Tx, customers: Sequence[str], now: datetime) -> list[str]:
    """Makes bare files for those of these customers (sorted) who have none; answers whose."""
    return [row["customer_id"] for row in await fetch(tx, _MEET, customers=customers, now=now)]


async def find(tx: Tx, customer: str, *, lock: bool = False) -> CustomerFile | None:
    """A customer's file, locked until the transaction ends if asked for."""
    rows = await fetch(tx, _FIND + " FOR UPDATE OF c" if lock else _FIND, customer=customer)
    return msgspec.convert(_fields(dict(rows[0])), CustomerFile) if rows else None


async def exists(tx: Tx, customer: str) -> bool:
    """Whether there is a file."""
    return bool(await fetch(tx, _EXISTS, customer=customer))


async def insert(tx: Tx, file: CustomerFile) -> bool:
    """Writes a new file; False where there is one already."""
    if not await execute(tx, _INSERT, customer_id=file.customer_id, now=file.created_at):
        return False
    await update(tx, file)
    return True


async def update(tx: Tx, file: CustomerFile) -> None:
    """Writes a file that is locked."""
    row: dict[str, Any] = {name: getattr(file, name) for name in (*OF_THE_ROW, *EDITABLE)}
    points = row.pop("contact_points")
    del row["created_at"]
    row |= {
        "tags": list(file.tags),
        "interests": list(file.interests),
        "birthday": msgspec.json.encode(file.birthday).decode() if file.birthday else None,
        "attributes": msgspec.json.encode(file.attributes).decode(),
    }
    await execute(tx, _UPDATE, **row)
    await execute(tx, _DROP_POINTS, customer=file.customer_id)
    if points:
        await execute(
            tx,
            _POINTS,
            customer=file.customer_id,
            kinds=[point.kind for point in points],
            addresses=[point.value for point in points],
            verified=[point.verified for point in points],
        )


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    decoded = {name: msgspec.json.decode(row[name]) for name in _JSON if row[name] is not None}
    return {**{name: value for name, value in row.items() if name not in _JSON}, **decoded}
