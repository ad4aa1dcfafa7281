"""By what the erased were known. A till's old event that names a phone number makes nobody of them anew.

Of an address or identifier nothing is kept but a keyed digest, as of their ids.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from services.profile.customers.application import Customers
from services.profile.erasures import store
from services.profile.erasures.store import Digest
from services.profile.identifiers.domain import opened
from services.profile.imports.forgetting import forget_rows
from shared.db import Tx

_AT_ONCE = 1000


async def remember(tx: Tx, customers: Customers, ids: Sequence[str], now: datetime) -> None:
    """Keeps the digests of all addresses and identifiers of these ids, of those of the past, too; and drops what rows
    of imports say of them that failed and name nobody."""
    index = await customers.vault.index(tx)
    openers = await customers.vault.openers(tx, ids)
    sealed = await store.identifiers(tx, ids)
    known_by = {(kind, opened(kind, value, openers[customer])) for customer, kind, value in sealed}
    for file in await customers.find_all(tx, ids):
        known_by |= {(point.kind, point.value) for point in file.contact_points}
    after = None
    while page := await customers.history(tx, ids, "contact_points", after=after, limit=_AT_ONCE):
        known_by |= {(point["kind"], point["value"]) for said in page for point in said.value}
        after = (page[-1].true_at, page[-1].id)
    await store.forget(tx, sorted((kind, index.digest(kind, value)) for kind, value in known_by), now)
    await forget_rows(tx, customers.vault, known_by)


async def forgotten(tx: Tx, asked: Iterable[Digest]) -> dict[Digest, datetime]:
    """When somebody was erased whom each of these stood for, last; nothing of the others."""
    return await store.forgotten(tx, sorted(set(asked)))
