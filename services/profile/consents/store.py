"""The ledger of consents: a row an entry, never changed; the newest of a channel and purpose is in force."""

from collections.abc import Sequence

import msgspec

from services.profile.consents.domain import Consent, Entry
from shared.db import Tx, copy, fetch

Asked = tuple[str, str]
"""A channel and a purpose."""

_LOCK = "SELECT customer_id FROM customers WHERE customer_id = ANY(:ids) ORDER BY customer_id FOR UPDATE"
_LAST = """
SELECT DISTINCT ON (customer_id, channel, purpose)
       customer_id, channel, purpose, granted, source, wording_version, recorded_at
FROM consents WHERE customer_id = ANY(:ids) ORDER BY customer_id, channel, purpose, id DESC
"""
_LEDGER = """
SELECT customer_id, channel, purpose, granted, source, wording_version, recorded_at
FROM consents WHERE customer_id = ANY(:ids) ORDER BY id
"""
_PAGE = """
SELECT id, customer_id, channel, purpose, granted, source, wording_version, recorded_at
FROM consents WHERE customer_id = ANY(:ids) AND (CAST(:before AS bigint) IS NULL OR id < :before)
ORDER BY id DESC LIMIT :limit
"""
_COLUMNS = ("customer_id", *Consent.__struct_fields__)


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


async def ledger(tx: Tx, ids: Sequence[str]) -> list[tuple[str, Consent]]:
    """Every entry under these ids, the oldest first."""
    found = []
    for row in await fetch(tx, _LEDGER, ids=list(ids)):
        entry = dict(row)
        found.append((entry.pop("customer_id"), msgspec.convert(entry, Consent)))
    return found


async def page(tx: Tx, ids: Sequence[str], before: int | None, limit: int) -> list[Entry]:
    """Entries under these ids, the last written first."""
    found = []
    for row in await fetch(tx, _PAGE, ids=list(ids), before=before, limit=limit):
        entry = dict(row)
        found.append(Entry(entry.pop("id"), entry.pop("customer_id"), msgspec.convert(entry, Consent)))
    return found


async def append(tx: Tx, entries: Sequence[tuple[str, Consent]]) -> None:
    """Adds entries under these ids, in their order."""
    if entries:
        await copy(tx, "consents", _COLUMNS, [(who, *msgspec.structs.astuple(consent)) for who, consent in entries])
