"""Accounts: found, opened, locked, written back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from shared.db import Row, Tx, columns, execute, fetch

_OPEN = """
INSERT INTO accounts (customer_id, opened_at)
SELECT customer_id, :now FROM unnest(CAST(:customers AS text[])) AS new (customer_id) ORDER BY customer_id
ON CONFLICT DO NOTHING
"""
_ACCOUNT = "account_id, customer_id, survivor_account_id, last_at, orders, caps, entries, head, unsettled"
_LOCK = f"SELECT {_ACCOUNT} FROM accounts WHERE customer_id = ANY(:customers) ORDER BY customer_id FOR UPDATE"
_LOCK_BY_ID = f"SELECT {_ACCOUNT} FROM accounts WHERE account_id = ANY(:accounts) ORDER BY customer_id FOR UPDATE"
# Of whom these ids are: by the account of the id, or of the one that answers for it, since an id that was joined before
# loyalty heard of it has none of its own.
PERSONS = """
    SELECT DISTINCT asked.customer_id AS asked, coalesce(a.survivor_account_id, a.account_id) AS id
    FROM unnest(CAST(:customers AS text[])) AS asked (customer_id)
        LEFT JOIN survivors AS s ON s.customer_id = asked.customer_id
        JOIN accounts AS a ON a.customer_id = asked.customer_id OR a.customer_id = s.survivor_id
"""
# `members`: how many accounts the person has, locked or not.
_LOCK_PERSONS = f"""
WITH persons AS MATERIALIZED ({PERSONS})
SELECT p.asked, {", ".join("a." + name for name in _ACCOUNT.split(", "))},
       1 + (SELECT count(*) FROM accounts AS o WHERE o.survivor_account_id = p.id) AS members
FROM persons AS p JOIN accounts AS a ON a.account_id = p.id OR a.survivor_account_id = p.id
ORDER BY a.customer_id FOR UPDATE OF a
"""
_LOCK_FREE_PERSONS = f"{_LOCK_PERSONS} SKIP LOCKED"
_SAVE = """
UPDATE accounts SET last_at = new.last_at, orders = new.orders, caps = new.caps, entries = new.entries, head = new.head,
    unsettled = new.unsettled
FROM unnest(CAST(:ids AS bigint[]), CAST(:last_at AS timestamptz[]), CAST(:orders AS int[]), CAST(:caps AS bytea[]),
            CAST(:entries AS int[]), CAST(:heads AS bytea[]), CAST(:unsettled AS boolean[]))
    AS new (account_id, last_at, orders, caps, entries, head, unsettled)
WHERE accounts.account_id = new.account_id
"""
# With the other accounts of the same persons: what comes to one may pay for the others.
_PERSONS = """
SELECT unnest(CAST(:accounts AS bigint[])) AS account_id
UNION SELECT survivor_account_id FROM accounts
WHERE account_id = ANY(:accounts) AND survivor_account_id IS NOT NULL
UNION SELECT other.account_id
FROM accounts AS a JOIN accounts AS other ON other.survivor_account_id = coalesce(a.survivor_account_id, a.account_id)
WHERE a.account_id = ANY(:accounts)
"""
_FIND = "SELECT account_id, customer_id FROM accounts WHERE customer_id = ANY(:customers) ORDER BY account_id"
_POINT = """
UPDATE accounts SET survivor_account_id = new.survivor
FROM unnest(CAST(:ids AS bigint[]), CAST(:survivors AS bigint[])) AS new (account_id, survivor)
WHERE accounts.account_id = new.account_id
"""
_AFTER = "SELECT account_id FROM accounts WHERE account_id > :after ORDER BY account_id LIMIT :limit"


async def open_and_lock(
    tx: Tx, customers: Sequence[str], now: datetime, others: Sequence[str] = ()
) -> Sequence[Row]:
    """The accounts of sorted customers, opened where there is none, and those that the others have, locked until the
    transaction ends."""
    rows = await fetch(tx, _LOCK, customers=sorted({*customers, *others}) if others else list(customers))
    if len(rows) == len(customers) and not others:
        return rows
    known = {row["customer_id"] for row in rows}
    missing = [customer for customer in customers if customer not in known]
    if not missing:
        return rows
    await execute(tx, _OPEN, customers=missing, now=now)
    return [*rows, *await fetch(tx, _LOCK, customers=missing)]


async def lock(tx: Tx, accounts: Sequence[int]) -> Sequence[Row]:
    """The same for accounts known by their id."""
    return await fetch(tx, _LOCK_BY_ID, accounts=list(accounts))


async def lock_persons(tx: Tx, customers: Sequence[str], *, wait: bool) -> Sequence[Row]:
    """The same for all accounts of these customers' persons, by the id that was ``asked`` for, in one order: who locks
    the same in another order of names waits. Without ``wait`` those that nobody else has locked, of ``members``."""
    return await fetch(tx, _LOCK_PERSONS if wait else _LOCK_FREE_PERSONS, customers=list(customers))


async def save(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Writes (account_id, last_at, orders, caps, entries, head, unsettled) back."""
    names = ("ids", "last_at", "orders", "caps", "entries", "heads", "unsettled")
    await execute(tx, _SAVE, **dict(zip(names, columns(rows, len(names)), strict=True)))


async def persons_of(tx: Tx, accounts: Sequence[int]) -> list[int]:
    """These accounts, and all others of the same persons."""
    return [row["account_id"] for row in await fetch(tx, _PERSONS, accounts=list(accounts))]


async def point(tx: Tx, rows: Sequence[tuple[int, int | None]]) -> None:
    """Writes (account_id, survivor_account_id) of locked accounts."""
    ids, survivors = columns(rows, 2)
    await execute(tx, _POINT, ids=ids, survivors=survivors)


async def find(tx: Tx, customers: Sequence[str]) -> Sequence[Row]:
    """The accounts that these customers have."""
    return await fetch(tx, _FIND, customers=list(customers))


async def accounts_after(tx: Tx, after: int, limit: int) -> list[int]:
    """Accounts by id."""
    return [row["account_id"] for row in await fetch(tx, _AFTER, after=after, limit=limit)]
