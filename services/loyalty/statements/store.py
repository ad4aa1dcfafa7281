"""Statements that were given out, and what they are made of."""

from collections.abc import Sequence
from datetime import date, datetime

from services.loyalty.ledger.domain import Entry
from services.loyalty.statements.domain import Expiring
from shared.db import Row, Tx, execute, fetch

_ACCOUNT = "SELECT account_id, customer_id, opened_at FROM accounts WHERE customer_id = ANY(:customers) ORDER BY 2"
# Scans of the ledger's primary key: an account's entries are few.
_OPENING = """
SELECT side.book, CAST(sum(side.points) AS bigint) AS points
FROM ledger AS e CROSS JOIN LATERAL (VALUES (e.credit, e.points), (e.debit, - e.points)) AS side (book, points)
WHERE e.account_id = :account AND e.known_at < :start GROUP BY side.book
"""
_ENTRIES = """
SELECT account_id, seq, kind, debit, credit, points, origin, source_id, programme_version, occurred_at, known_at,
       cause_source, cause_id, hash
FROM ledger WHERE account_id = :account AND known_at >= :start AND known_at < :until ORDER BY seq
"""
_CHAIN = "SELECT seq, hash FROM ledger WHERE account_id = :account AND known_at < :until ORDER BY seq DESC LIMIT 1"
_EXPIRING = """
SELECT l.expires_at AS at, CAST(sum(free.points) AS bigint) AS points
FROM (
    SELECT e.origin, e.source_id, sum(side.points) AS points
    FROM ledger AS e CROSS JOIN LATERAL (VALUES (e.credit, e.points), (e.debit, - e.points)) AS side (book, points)
    WHERE e.account_id = :account AND e.known_at < :until AND side.book IN ('pending', 'available')
    GROUP BY e.origin, e.source_id
) AS free JOIN lots AS l USING (origin, source_id)
WHERE free.points > 0 AND l.expires_at >= :until AND l.expires_at < :soon
GROUP BY l.expires_at ORDER BY l.expires_at
"""
_ONE = "SELECT document FROM statements WHERE account_id = :account AND month = :month"
_KEEP = """
INSERT INTO statements (account_id, month, document) VALUES (:account, :month, :document) ON CONFLICT DO NOTHING
"""
_FORGET = """
DELETE FROM statements AS s USING accounts AS a WHERE a.account_id = s.account_id AND a.customer_id = ANY(:names)
"""


async def accounts(tx: Tx, customers: Sequence[str]) -> Sequence[Row]:
    """The accounts of these ids: account_id, customer_id, opened_at."""
    return await fetch(tx, _ACCOUNT, customers=list(customers))


async def opening(tx: Tx, account: int, start: datetime) -> dict[str, int]:
    """Credits less debits of each book by what was known before."""
    return {row["book"]: row["points"] for row in await fetch(tx, _OPENING, account=account, start=start)}


async def entries(tx: Tx, account: int, start: datetime, until: datetime) -> list[Entry]:
    """What was written down of an account from an instant on, before another."""
    return [Entry(**row) for row in await fetch(tx, _ENTRIES, account=account, start=start, until=until)]


async def chain(tx: Tx, account: int, until: datetime) -> tuple[int, bytes]:
    """How many entries there were, and the hash of the last."""
    rows = await fetch(tx, _CHAIN, account=account, until=until)
    return (rows[0]["seq"], rows[0]["hash"]) if rows else (0, b"")


async def expiring(tx: Tx, account: int, until: datetime, soon: datetime) -> list[Expiring]:
    """What was free at an instant and expires from then on, before another."""
    rows = await fetch(tx, _EXPIRING, account=account, until=until, soon=soon)
    return [Expiring(row["at"], row["points"]) for row in rows]


async def document(tx: Tx, account: int, month: date) -> str | None:
    """The statement as it was given out, or None."""
    rows = await fetch(tx, _ONE, account=account, month=month)
    return rows[0]["document"] if rows else None


async def keep(tx: Tx, account: int, month: date, document: str) -> None:
    """Keeps a statement, unless another was given out meanwhile."""
    await execute(tx, _KEEP, account=account, month=month, document=document)


async def forget(tx: Tx, names: Sequence[str]) -> int:
    """Deletes those of the accounts with these names; how many."""
    return await execute(tx, _FORGET, names=list(names))
