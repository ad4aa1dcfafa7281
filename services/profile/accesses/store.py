"""The record of accesses, append-only: the database takes nothing but new lines."""

from collections.abc import Sequence

import msgspec

from services.profile.accesses.domain import Access, Kept
from shared.db import Tx, copy, fetch

_COLUMNS = Access.__struct_fields__
# The sequence's name in a subquery, so that it is looked up once.
_IDS = """
SELECT ARRAY(SELECT nextval(CAST((SELECT pg_get_serial_sequence('accesses', 'access_id')) AS regclass))
             FROM generate_series(1, CAST(:count AS int))) AS ids
"""
_PAGE = f"""
SELECT access_id, {", ".join(_COLUMNS)} FROM accesses
WHERE access_id IN (SELECT access_id FROM accessed_customers
                    WHERE customer = ANY(:customers)
                      AND (CAST(:after AS bigint) IS NULL OR access_id < CAST(:after AS bigint)))
ORDER BY access_id DESC LIMIT :limit
"""


async def add(tx: Tx, accesses: Sequence[tuple[Access, Sequence[bytes]]]) -> None:
    """Writes accesses, each with the keyed hashes of whose data it showed."""
    ids: list[int] = sorted((await fetch(tx, _IDS, count=len(accesses)))[0]["ids"])
    rows = [(id, *msgspec.structs.astuple(access)) for id, (access, _) in zip(ids, accesses, strict=True)]
    await copy(tx, "accesses", ("access_id", *_COLUMNS), rows)
    shown = {(customer, id) for id, (_, customers) in zip(ids, accesses, strict=True) for customer in customers}
    await copy(tx, "accessed_customers", ("customer", "access_id"), sorted(shown))


async def page(tx: Tx, customers: Sequence[bytes], after: int | None, limit: int) -> list[Kept]:
    """What showed data of one of these, the newest first."""
    rows = await fetch(tx, _PAGE, customers=list(customers), after=after, limit=limit)
    return [Kept(row["access_id"], Access(*(row[name] for name in _COLUMNS))) for row in rows]
