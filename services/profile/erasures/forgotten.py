"""By what the erased were known. A till's old event that names a phone number makes nobody of them anew.

Of an address or identifier nothing is kept but a keyed digest, as of their ids.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog

from services.profile.customers.application import Customers
from services.profile.erasures import store
from services.profile.erasures.store import Digest
from services.profile.identifiers.domain import opened
from services.profile.imports.forgetting import forget_rows
from services.profile.vault.domain import Unreadable, WrongMasterKey
from shared.db import Tx

log = structlog.get_logger()
_AT_ONCE = 1000


async def remember(tx: Tx, customers: Customers, ids: Sequence[str], now: datetime) -> None:
    """Keeps the digests of all addresses and identifiers of these ids, of those of the past, too; and drops what rows
    of imports say of them that failed and name nobody."""
    found = set(await store.known_by(tx, ids))
    try:
        words = await _words(tx, customers, ids)
    except (Unreadable, WrongMasterKey) as error:
        # Who can't be read any more is forgotten all the same, by the digests that there are.
        log.error("erasure.unreadable", error=type(error).__name__)
        words = set()
    if words:
        index = await customers.vault.index(tx)
        found |= {(kind, index.digest(kind, value)) for kind, value in words}
        await forget_rows(tx, customers.vault, words)
    await store.forget(tx, sorted(found), now)


async def _words(tx: Tx, customers: Customers, ids: Sequence[str]) -> set[tuple[str, str]]:
    openers = await customers.vault.openers(tx, ids)
    sealed = await store.identifiers(tx, ids)
    words = {(kind, opened(kind, value, openers[customer])) for customer, kind, value in sealed}
    for file in await customers.find_all(tx, ids):
        words |= {(point.kind, point.value) for point in file.contact_points}
    after = None
    while page := await customers.history(tx, ids, "contact_points", after=after, limit=_AT_ONCE):
        words |= {(point["kind"], point["value"]) for said in page for point in said.value}
        after = (page[-1].true_at, page[-1].id)
    return words


async def forgotten(tx: Tx, asked: Iterable[Digest]) -> dict[Digest, datetime]:
    """When somebody was erased whom each of these stood for, last; nothing of the others."""
    return await store.forgotten(tx, sorted(set(asked)))
