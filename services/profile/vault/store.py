"""The wrapped keys: a customer's goes with his file."""

from collections.abc import Mapping, Sequence

from services.profile.vault.domain import WrappedKey
from shared.db import Row, Tx, columns, execute, fetch

_FIND = "SELECT customer_id, wrapped, wrapped_by FROM customer_keys WHERE customer_id = ANY(:customers)"
_KEEP = """
INSERT INTO customer_keys (customer_id, wrapped, wrapped_by)
SELECT * FROM unnest(CAST(:customers AS text[]), CAST(:wrapped AS bytea[]), CAST(:by AS text[]))
    AS new (customer_id, wrapped, wrapped_by)
ORDER BY customer_id
ON CONFLICT DO NOTHING RETURNING customer_id
"""
_DESTROY = "DELETE FROM customer_keys WHERE customer_id = ANY(:customers)"
_KEEP_INDEX = "INSERT INTO index_keys (wrapped, wrapped_by) VALUES (:wrapped, :by) ON CONFLICT DO NOTHING"
_INDEX = "SELECT wrapped, wrapped_by FROM index_keys"
_OLD = """
SELECT customer_id, wrapped, wrapped_by FROM customer_keys WHERE wrapped_by <> :newest AND customer_id > :after
ORDER BY customer_id LIMIT :limit FOR UPDATE
"""
_OLD_INDEX = "SELECT wrapped, wrapped_by FROM index_keys WHERE wrapped_by <> :newest FOR UPDATE"
_REWRAP = """
UPDATE customer_keys AS k SET wrapped = new.wrapped, wrapped_by = new.wrapped_by
FROM unnest(CAST(:customers AS text[]), CAST(:wrapped AS bytea[]), CAST(:by AS text[]))
    AS new (customer_id, wrapped, wrapped_by)
WHERE k.customer_id = new.customer_id
"""
_REWRAP_INDEX = "UPDATE index_keys SET wrapped = :wrapped, wrapped_by = :by"


async def find(tx: Tx, customers: Sequence[str]) -> dict[str, WrappedKey]:
    """The keys of those of these customers who have one."""
    rows = await fetch(tx, _FIND, customers=list(customers))
    return {row["customer_id"]: WrappedKey(row["wrapped"], row["wrapped_by"]) for row in rows}


async def keep(tx: Tx, keys: Mapping[str, WrappedKey]) -> set[str]:
    """Keeps first keys of customers; answers whose, since somebody else may have been faster."""
    rows = await fetch(tx, _KEEP, **_columns(keys))
    return {row["customer_id"] for row in rows}


async def destroy(tx: Tx, customers: Sequence[str]) -> int:
    """Takes keys away for good; answers how many."""
    return await execute(tx, _DESTROY, customers=list(customers))


async def keep_index(tx: Tx, key: WrappedKey) -> None:
    """Keeps the index's key, unless there is one."""
    await execute(tx, _KEEP_INDEX, wrapped=key.wrapped, by=key.wrapped_by)


async def index(tx: Tx) -> WrappedKey | None:
    """The index's key."""
    return _one(await fetch(tx, _INDEX))


async def old(tx: Tx, newest: str, limit: int, after: str = "") -> dict[str, WrappedKey]:
    """Keys that another master key wrapped, by customer, held until the transaction ends."""
    rows = await fetch(tx, _OLD, newest=newest, limit=limit, after=after)
    return {row["customer_id"]: WrappedKey(row["wrapped"], row["wrapped_by"]) for row in rows}


async def old_index(tx: Tx, newest: str) -> WrappedKey | None:
    """The index's key if another master key wrapped it, held until the transaction ends."""
    return _one(await fetch(tx, _OLD_INDEX, newest=newest))


async def rewrap(tx: Tx, keys: Mapping[str, WrappedKey]) -> None:
    """Writes customers' keys as they are wrapped now."""
    await execute(tx, _REWRAP, **_columns(keys))


async def rewrap_index(tx: Tx, key: WrappedKey) -> None:
    """Writes the index's key as it is wrapped now."""
    await execute(tx, _REWRAP_INDEX, wrapped=key.wrapped, by=key.wrapped_by)


def _columns(keys: Mapping[str, WrappedKey]) -> dict[str, list[object]]:
    found = columns([(who, key.wrapped, key.wrapped_by) for who, key in sorted(keys.items())], 3)
    return dict(zip(("customers", "wrapped", "by"), found, strict=True))


def _one(rows: Sequence[Row]) -> WrappedKey | None:
    return WrappedKey(rows[0]["wrapped"], rows[0]["wrapped_by"]) if rows else None
