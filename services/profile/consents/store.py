"""The ledger of consents: a row an entry, never changed; the newest of a channel and purpose is in force."""

from collections.abc import Sequence
from typing import Any

import msgspec

from services.profile.consents.domain import Consent
from shared.db import Tx, execute, fetch

Asked = tuple[str, str]
"""A channel and a purpose."""

_LOCK = "SELECT customer_id FROM customers WHERE customer_id = ANY(:ids) ORDER BY customer_id FOR UPDATE"
_LAST = """
SELECT DISTINCT ON (customer_id, channel, purpose)
       customer_id, channel, purpose, granted, source, wording_version, recorded_at
FROM consents WHERE customer_id = ANY(:ids) ORDER BY customer_id, channel, purpose, id DESC
"""
_APPEND = """
INSERT INTO consents (customer_id, channel, purpose, granted, source, wording_version, recorded_at)
SELECT customer_id, :channel, :purpose, :granted, :source, :wording_version, :recorded_at
FROM unnest(CAST(:ids AS text[])) AS person (customer_id)
"""


async def lock(tx: Tx, ids: Sequence[str]) -> list[str]:
    """Holds the files of these ids, so that two entries come one after the other; answers those that have one."""
    return [row["customer_id"] for row in await fetch(tx, _LOCK, ids=list(ids))]


async def last(tx: Tx, ids: Sequence[str]) -> dict[Asked, dict[str, Consent]]:
    """The newest entry of each channel and purpose, under each of these ids; sorted."""
    found: dict[Asked, dict[str, Consent]] = {}
    for row in await fetch(tx, _LAST, ids=list(ids)):
        entry = dict(row)
        customer = entry.pop("customer_id")
        found.setdefault((row["channel"], row["purpose"]), {})[customer] = msgspec.convert(entry, Consent)
    return dict(sorted(found.items()))


async def append(tx: Tx, ids: Sequence[str], consent: Consent) -> None:
    """Adds an entry under each of these ids."""
    row: dict[str, Any] = msgspec.structs.asdict(consent)
    await execute(tx, _APPEND, ids=list(ids), **row)
