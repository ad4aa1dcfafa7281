"""Accounts, lots and the ledger: all SQL that reads or writes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.loyalty.ledger.domain import Award, Entry, Lot
from shared.db import Row, Tx, columns, copy, execute, fetch

_OPEN = """
INSERT INTO accounts (customer_id, opened_at)
SELECT customer_id, :now FROM unnest(CAST(:customers AS text[])) AS new (customer_id) ORDER BY customer_id
ON CONFLICT DO NOTHING
"""
_ACCOUNT = "account_id, customer_id, survivor_account_id, last_at, orders, caps, entries, head"
_LOCK = f"SELECT {_ACCOUNT} FROM accounts WHERE customer_id = ANY(:customers) ORDER BY customer_id FOR UPDATE"
_LOCK_BY_ID = f"SELECT {_ACCOUNT} FROM accounts WHERE account_id = ANY(:accounts) ORDER BY customer_id FOR UPDATE"
_SAVE = """
UPDATE accounts SET last_at = new.last_at, orders = new.orders, caps = new.caps, entries = new.entries, head = new.head
FROM unnest(CAST(:ids AS bigint[]), CAST(:last_at AS timestamptz[]), CAST(:orders AS int[]), CAST(:caps AS bytea[]),
            CAST(:entries AS int[]), CAST(:heads AS bytea[])) AS new (account_id, last_at, orders, caps, entries, head)
WHERE accounts.account_id = new.account_id
"""
_FIND = "SELECT account_id, customer_id FROM accounts WHERE customer_id = ANY(:customers) ORDER BY account_id"
_POINT = """
UPDATE accounts SET survivor_account_id = new.survivor
FROM unnest(CAST(:ids AS bigint[]), CAST(:survivors AS bigint[])) AS new (account_id, survivor)
WHERE accounts.account_id = new.account_id
"""
_LOT = (
    "order_id", "account_id", "occurred_at", "currency", "net_minor", "points", "reversed", "programme_version",
    "judged_with", "available_from", "expires_at", "posted", "posted_in", "due_at",
)  # fmt: skip
_LOTS = f"SELECT {', '.join(_LOT)} FROM lots WHERE account_id = ANY(:accounts)"
_DUE = f"SELECT {', '.join(_LOT)} FROM lots WHERE account_id = ANY(:accounts) AND due_at <= :now"
_LOT_PAGE = f"""
SELECT {", ".join(_LOT)} FROM lots
WHERE account_id = ANY(:accounts) AND points > 0 AND (occurred_at, order_id) < (:before_at, :before_id)
ORDER BY occurred_at DESC, order_id DESC LIMIT :limit
"""
_CHANGE = """
UPDATE lots SET account_id = new.account_id, occurred_at = new.occurred_at, currency = new.currency,
    net_minor = new.net_minor, points = new.points, reversed = new.reversed,
    programme_version = new.programme_version, available_from = new.available_from, expires_at = new.expires_at,
    posted = new.posted, posted_in = new.posted_in, due_at = new.due_at
FROM unnest(
    CAST(:order_id AS text[]), CAST(:account_id AS bigint[]), CAST(:occurred_at AS timestamptz[]),
    CAST(:currency AS text[]), CAST(:net_minor AS bigint[]), CAST(:points AS bigint[]), CAST(:reversed AS bigint[]),
    CAST(:programme_version AS int[]), CAST(:judged_with AS int[]), CAST(:available_from AS timestamptz[]),
    CAST(:expires_at AS timestamptz[]), CAST(:posted AS bigint[]), CAST(:posted_in AS text[]),
    CAST(:due_at AS timestamptz[])) AS new (order_id, account_id, occurred_at, currency, net_minor, points, reversed,
    programme_version, judged_with, available_from, expires_at, posted, posted_in, due_at)
WHERE lots.order_id = new.order_id
"""
_DUE_ACCOUNTS = """
SELECT DISTINCT account_id
FROM (SELECT account_id FROM lots WHERE due_at <= :now ORDER BY due_at LIMIT :limit) AS first
"""
_NEXT_DUE = "SELECT min(due_at) AS due_at FROM lots WHERE due_at IS NOT NULL"
_SPENDS = """
SELECT account_id, array_agg(occurred_at) AS times, array_agg(net_minor) AS nets
FROM unnest(CAST(:accounts AS bigint[]), CAST(:least AS bigint[])) AS wanted (account_id, least)
    JOIN lots USING (account_id)
WHERE occurred_at > :since AND currency = :currency AND net_minor > 0
GROUP BY account_id, least HAVING sum(net_minor) >= least
"""
_SPENDS_OF_GROUPS = """
SELECT coalesce(a.survivor_account_id, a.account_id) AS account_id,
       array_agg(l.occurred_at) AS times, array_agg(l.net_minor) AS nets
FROM accounts AS a JOIN lots AS l ON l.account_id = a.account_id
WHERE (a.account_id = ANY(:accounts) OR a.survivor_account_id = ANY(:accounts))
    AND l.occurred_at > :since AND l.currency = :currency AND l.net_minor > 0
GROUP BY 1
"""
# One scan of lots_account: a customer's lots are few.
_BALANCE = """
SELECT coalesce(sum(points) FILTER (WHERE available_from <= :at AND (expires_at IS NULL OR expires_at > :at)), 0)
           AS available,
       coalesce(sum(points) FILTER (WHERE available_from > :at AND (expires_at IS NULL OR expires_at > :at)), 0)
           AS pending,
       coalesce(sum(points), 0) AS lifetime_earned,
       min(expires_at) FILTER (WHERE expires_at > :at AND points > 0) AS next_at
FROM lots WHERE account_id = ANY(:accounts)
"""
_EXPIRING = "SELECT coalesce(sum(points), 0) AS points FROM lots WHERE account_id = ANY(:accounts) AND expires_at = :at"
_ENTRY = (
    "account_id", "seq", "kind", "debit", "credit", "points", "order_id", "programme_version", "occurred_at",
    "known_at", "cause_source", "cause_id", "hash",
)  # fmt: skip
_ENTRY_PAGE = f"""
SELECT {", ".join(_ENTRY)} FROM ledger
WHERE account_id = ANY(:accounts) AND occurred_at <= :as_of AND known_at <= :known_by
    AND (known_at, account_id, seq) < (:known_at, CAST(:account AS bigint), CAST(:seq AS bigint))
ORDER BY known_at DESC, account_id DESC, seq DESC LIMIT :limit
"""
_HEADS = """
SELECT account_id, customer_id, entries, head FROM accounts WHERE account_id > :after ORDER BY account_id LIMIT :limit
"""
_AFTER = "SELECT account_id FROM accounts WHERE account_id > :after ORDER BY account_id LIMIT :limit"
_CHAINS = f"SELECT {', '.join(_ENTRY)} FROM ledger WHERE account_id = ANY(:accounts) ORDER BY account_id, seq"
_POSTED = """
SELECT account_id, posted_in, sum(posted)::bigint AS points FROM lots
WHERE account_id = ANY(:accounts) AND posted > 0 GROUP BY account_id, posted_in
"""
_ENTRIES = "SELECT count(*) AS entries FROM ledger"
_ORPHAN = """
SELECT account_id, seq FROM ledger l WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = l.account_id)
ORDER BY account_id, seq LIMIT 1
"""
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_ALL = f"""
SELECT s.customer_id AS survivor_id, a.customer_id, {", ".join("lots." + name for name in _LOT)}
FROM lots JOIN accounts AS a USING (account_id)
    JOIN accounts AS s ON s.account_id = coalesce(a.survivor_account_id, a.account_id)
ORDER BY s.customer_id, a.customer_id, order_id
"""


async def open_and_lock(tx: Tx, customers: Sequence[str], now: datetime) -> Sequence[Row]:
    """The accounts of sorted customers, opened where there is none, locked until the transaction ends."""
    rows = await fetch(tx, _LOCK, customers=list(customers))
    if len(rows) == len(customers):
        return rows
    known = {row["customer_id"] for row in rows}
    missing = [customer for customer in customers if customer not in known]
    await execute(tx, _OPEN, customers=missing, now=now)
    return [*rows, *await fetch(tx, _LOCK, customers=missing)]


async def lock(tx: Tx, accounts: Sequence[int]) -> Sequence[Row]:
    """The same for accounts known by their id."""
    return await fetch(tx, _LOCK_BY_ID, accounts=list(accounts))


async def save(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Writes (account_id, last_at, orders, caps, entries, head) back."""
    names = ("ids", "last_at", "orders", "caps", "entries", "heads")
    await execute(tx, _SAVE, **dict(zip(names, columns(rows, len(names)), strict=True)))


async def point(tx: Tx, rows: Sequence[tuple[int, int | None]]) -> None:
    """Writes (account_id, survivor_account_id) of locked accounts."""
    ids, survivors = columns(rows, 2)
    await execute(tx, _POINT, ids=ids, survivors=survivors)


async def find(tx: Tx, customers: Sequence[str]) -> Sequence[Row]:
    """The accounts that these customers have."""
    return await fetch(tx, _FIND, customers=list(customers))


async def lots_of(tx: Tx, accounts: Sequence[int]) -> list[Lot]:
    """Every lot of these accounts."""
    return [_lot(row) for row in await fetch(tx, _LOTS, accounts=list(accounts))]


async def due_lots(tx: Tx, accounts: Sequence[int], now: datetime) -> list[Lot]:
    """The lots of locked accounts that have something to be written down."""
    lots = [_lot(row) for row in await fetch(tx, _DUE, accounts=list(accounts), now=now)]
    return sorted(lots, key=lambda lot: (lot.due_at or now, lot.award.order_id))


async def lot_page(tx: Tx, accounts: Sequence[int], before: tuple[datetime, str], limit: int) -> list[Lot]:
    """Lots with points, newest first."""
    at, id_ = before
    rows = await fetch(tx, _LOT_PAGE, accounts=list(accounts), before_at=at, before_id=id_, limit=limit)
    return [_lot(row) for row in rows]


async def add_lots(tx: Tx, lots: Sequence[Lot]) -> None:
    """Lots of orders that have none yet."""
    if lots:
        await copy(tx, "lots", _LOT, [_lot_row(lot) for lot in lots])


async def change_lots(tx: Tx, lots: Sequence[Lot]) -> None:
    """Writes changed lots back; ``judged_with`` stays as it is."""
    if lots:
        rows = sorted(_lot_row(lot) for lot in lots)
        await execute(tx, _CHANGE, **dict(zip(_LOT, columns(rows, len(_LOT)), strict=True)))


async def add_entries(tx: Tx, entries: Sequence[Entry]) -> None:
    """Appends to the ledger."""
    if entries:
        rows = [
            (
                e.account_id, e.seq, e.kind, e.debit, e.credit, e.points, e.order_id, e.programme_version,
                e.occurred_at, e.known_at, e.cause_source, e.cause_id, e.hash,
            )
            for e in entries
        ]  # fmt: skip
        await copy(tx, "ledger", _ENTRY, rows)


async def due_accounts(tx: Tx, now: datetime, limit: int) -> list[int]:
    """Accounts of the lots that have been due the longest."""
    return [row["account_id"] for row in await fetch(tx, _DUE_ACCOUNTS, now=now, limit=limit)]


async def next_due(tx: Tx) -> datetime | None:
    """When the next lot falls due."""
    due: datetime | None = (await fetch(tx, _NEXT_DUE))[0]["due_at"]
    return due


async def spends(
    tx: Tx, accounts: Mapping[int, int], currency: str, since: datetime
) -> Mapping[int, list[tuple[datetime, int]]]:
    """What stands of each account's orders after ``since``, where it comes to what is asked of that account."""
    least = list(accounts.values())
    rows = await fetch(tx, _SPENDS, accounts=list(accounts), least=least, currency=currency, since=since)
    return {row["account_id"]: list(zip(row["times"], row["nets"], strict=True)) for row in rows}


async def spends_of_groups(
    tx: Tx, accounts: Sequence[int], currency: str, since: datetime
) -> Mapping[int, list[tuple[datetime, int]]]:
    """The same for each account together with those that it answers for."""
    rows = await fetch(tx, _SPENDS_OF_GROUPS, accounts=list(accounts), currency=currency, since=since)
    return {row["account_id"]: list(zip(row["times"], row["nets"], strict=True)) for row in rows}


async def balance(tx: Tx, accounts: Sequence[int], at: datetime) -> Row:
    """available, pending, lifetime_earned and the next expiry as they are at an instant."""
    return (await fetch(tx, _BALANCE, accounts=list(accounts), at=at))[0]


async def expiring(tx: Tx, accounts: Sequence[int], at: datetime) -> int:
    """The points that expire at exactly that instant."""
    return int((await fetch(tx, _EXPIRING, accounts=list(accounts), at=at))[0]["points"])


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


async def snapshot(tx: Tx) -> None:
    """First statement of a transaction that reads everything as of one moment."""
    await execute(tx, _SNAPSHOT)


async def heads(tx: Tx, after: int, limit: int) -> Sequence[Row]:
    """Accounts by id with the ends of their chains."""
    return await fetch(tx, _HEADS, after=after, limit=limit)


async def accounts_after(tx: Tx, after: int, limit: int) -> list[int]:
    """Accounts by id."""
    return [row["account_id"] for row in await fetch(tx, _AFTER, after=after, limit=limit)]


async def chains(tx: Tx, accounts: Sequence[int]) -> list[Entry]:
    """The whole chains of these accounts, in their order."""
    return [_entry(row) for row in await fetch(tx, _CHAINS, accounts=list(accounts))]


async def posted(tx: Tx, accounts: Sequence[int]) -> dict[tuple[int, str], int]:
    """What the lots say is posted, by account and bucket."""
    rows = await fetch(tx, _POSTED, accounts=list(accounts))
    return {(row["account_id"], row["posted_in"]): row["points"] for row in rows}


async def count_entries(tx: Tx) -> int:
    """How many entries there are."""
    return int((await fetch(tx, _ENTRIES))[0]["entries"])


async def orphan(tx: Tx) -> tuple[int, int] | None:
    """The first entry (account_id, seq) without an account."""
    rows = await fetch(tx, _ORPHAN)
    return (rows[0]["account_id"], rows[0]["seq"]) if rows else None


async def everything(tx: Tx) -> list[tuple[str, str, Lot]]:
    """Every lot with who answers for its customer, and the customer, sorted."""
    return [(row["survivor_id"], row["customer_id"], _lot(row)) for row in await fetch(tx, _ALL)]


def _lot(row: Row) -> Lot:
    award = Award(
        row["order_id"], row["occurred_at"], row["currency"], row["net_minor"], row["points"], row["reversed"],
        row["programme_version"], row["judged_with"], row["available_from"], row["expires_at"],
    )  # fmt: skip
    return Lot(row["account_id"], award, row["posted"], row["posted_in"])


def _lot_row(lot: Lot) -> tuple[Any, ...]:
    a = lot.award
    return (
        a.order_id, lot.account_id, a.occurred_at, a.currency, a.net_minor, a.points, a.reversed,
        a.programme_version, a.judged_with, a.available_from, a.expires_at, lot.posted, lot.posted_in, lot.due_at,
    )  # fmt: skip


def _entry(row: Row) -> Entry:
    return Entry(**row)
