"""By what the erased were known. A till's old event that names a phone number makes nobody of them anew.

Of an address or identifier nothing is kept but a keyed digest, as of their ids.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from services.profile.customers.application import Customers
from services.profile.erasures import store
from services.profile.erasures.store import Digest
from shared.db import Tx

_AT_ONCE = 1000


async def remember(tx: Tx, customers: Customers, ids: Sequence[str], now: datetime) -> None:
    """Keeps the digests of all addresses and identifiers of these ids, of those of the past, too."""
    index = await customers.vault.index(tx)
    found = set(await store.known_by(tx, ids))
    after = None
    while page := await customers.history(tx, ids, "contact_points", after=after, limit=_AT_ONCE):
        found |= {
            (point["kind"], index.digest(point["kind"], point["value"])) for said in page for point in said.value
        }
        after = (page[-1].true_at, page[-1].id)
    await store.forget(tx, sorted(found), now)


async def forgotten(tx: Tx, asked: Iterable[Digest]) -> dict[Digest, datetime]:
    """When somebody was erased whom each of these stood for, last; nothing of the others."""
    return await store.forgotten(tx, sorted(set(asked)))
