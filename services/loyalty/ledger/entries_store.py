"""The entries of the ledger, and the chains that they are in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.loyalty.ledger.domain import Entry
from shared.db import Row, Tx, copy, execute, fetch

_ENTRY = (
    "account_id", "seq", "kind", "debit", "credit", "points", "origin", "source_id", "programme_version", "occurred_at",
    "known_at", "cause_source", "cause_id", "hash",
)  # fmt: skip
_ENTRY_PAGE = f"""
SELECT {", ".join(_ENTRY)} FROM ledger
WHERE account_id = ANY(:accounts) AND occurred_at <= :as_of AND known_at <= :known_by
    AND (known_at, account_id, seq) < (:known_at, CAST(:account AS bigint), CAST(:seq AS bigint))
ORDER BY known_at DESC, account_id DESC, seq DESC LIMIT :limit
"""
# Scans of the primary key, as those of _ENTRY_PAGE: a customer's entries are few.
_BOOKS = """
SELECT side.book, sum(side.points)::bigint AS points
FROM ledger AS e CROSS JOIN LATERAL (VALUES (e.credit, e.points), (e.debit, - e.points)) AS side (book, points)
WHERE e.account_id = ANY(:accounts) AND e.occurred_at <= :as_of AND e.known_at <= :known_by
GROUP BY side.book
"""
_HEADS = """
SELECT account_id, customer_id, entries, head FROM accounts WHERE account_id > :after ORDER BY account_id LIMIT :limit
"""
_CHAINS = f"SELECT {', '.join(_ENTRY)} FROM ledger WHERE account_id = ANY(:accounts) ORDER BY account_id, seq"
_ENTRIES = "SELECT count(*) AS entries FROM ledger"
_ORPHAN = """
SELECT account_id, seq FROM ledger l WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = l.account_id)
ORDER BY account_id, seq LIMIT 1
"""
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


async def add_entries(tx: Tx, entries: Sequence[Entry]) -> None:
    """Appends to the ledger."""
    if entries:
        await copy(tx, "ledger", _ENTRY, [_entry_row(entry) for entry in entries])


async def entry_page(
    tx: Tx, accounts: Sequence[int], before: tuple[datetime, int, int], as_of: datetime, known_by: datetime, limit: int
) -> list[Entry]:
    """Entries of what had happened and was known by then, before (known_at, account_id, seq), newest first."""
    known_at, account, seq = before
    rows = await fetch(
        tx, _ENTRY_PAGE, accounts=list(accounts), known_at=known_at, account=account, seq=seq, as_of=as_of,
        known_by=known_by, limit=limit,
    )  # fmt: skip
    return [_entry(row) for row in rows]


async def books(tx: Tx, accounts: Sequence[int], as_of: datetime, known_by: datetime) -> dict[str, int]:
    """What the entries of what had happened and was known by then leave in each book."""
    rows = await fetch(tx, _BOOKS, accounts=list(accounts), as_of=as_of, known_by=known_by)
    return {row["book"]: row["points"] for row in rows}


async def snapshot(tx: Tx) -> None:
    """First statement of a transaction that reads everything as of one moment."""
    await execute(tx, _SNAPSHOT)


async def heads(tx: Tx, after: int, limit: int) -> Sequence[Row]:
    """Accounts by id with the ends of their chains."""
    return await fetch(tx, _HEADS, after=after, limit=limit)


async def chains(tx: Tx, accounts: Sequence[int]) -> list[Entry]:
    """The whole chains of these accounts, in their order."""
    return [_entry(row) for row in await fetch(tx, _CHAINS, accounts=list(accounts))]


async def count_entries(tx: Tx) -> int:
    """How many entries there are."""
    return int((await fetch(tx, _ENTRIES))[0]["entries"])


async def orphan(tx: Tx) -> tuple[int, int] | None:
    """The first entry (account_id, seq) without an account."""
    rows = await fetch(tx, _ORPHAN)
    return (rows[0]["account_id"], rows[0]["seq"]) if rows else None


def _entry_row(e: Entry) -> tuple[Any, ...]:
    return (
        e.account_id, e.seq, e.kind, e.debit, e.credit, e.points, e.origin, e.source_id, e.programme_version,
        e.occurred_at, e.known_at, e.cause_source, e.cause_id, e.hash,
    )  # fmt: skip


def _entry(row: Row) -> Entry:
    return Entry(**row)
