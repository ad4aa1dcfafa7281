"""The ledger of consents: a row an entry, never changed; the newest of a channel and purpose is in force."""

from typing import Any

import msgspec

from services.profile.consents.domain import Consent
from shared.db import Tx, execute, fetch

_LOCK = "SELECT customer_id FROM customers WHERE customer_id = :customer FOR UPDATE"
_IN_FORCE = """
SELECT DISTINCT ON (channel, purpose) channel, purpose, granted, source, wording_version, recorded_at
FROM consents WHERE customer_id = :customer ORDER BY channel, purpose, id DESC
"""
_APPEND = """
INSERT INTO consents (customer_id, channel, purpose, granted, source, wording_version, recorded_at)
VALUES (:customer, :channel, :purpose, :granted, :source, :wording_version, :recorded_at)
"""


async def lock(tx: Tx, customer: str) -> bool:
    """Holds a customer's file, so that two entries come one after the other; False if there is none."""
    return bool(await fetch(tx, _LOCK, customer=customer))


async def in_force(tx: Tx, customer: str) -> list[Consent]:
    """The newest entry of each channel and purpose."""
    return [msgspec.convert(dict(row), Consent) for row in await fetch(tx, _IN_FORCE, customer=customer)]


async def append(tx: Tx, customer: str, consent: Consent) -> None:
    """Adds an entry."""
    row: dict[str, Any] = msgspec.structs.asdict(consent)
    await execute(tx, _APPEND, customer=customer, **row)
