"""Lots: what is posted of them, what falls due, and what they come to for an account."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.loyalty.ledger.domain import Award, Lot, LotKey
from services.loyalty.ledger.store import PERSONS
from shared.db import Row, Tx, columns, copy, execute, fetch

LOT = (
    "source_id", "origin", "account_id", "occurred_at", "currency", "net_minor", "points", "reversed",
    "programme_version", "judged_with", "available_from", "expires_at", "posted", "posted_in", "spent", "held",
    "repaid", "owed", "due_at",
)  # fmt: skip
_LOTS = f"SELECT {', '.join(LOT)} FROM lots WHERE account_id = ANY(:accounts)"
_DUE = f"SELECT {', '.join(LOT)} FROM lots WHERE account_id = ANY(:accounts) AND due_at <= :now"
_LOT_PAGE = f"""
SELECT {", ".join(LOT)} FROM lots
WHERE account_id = ANY(:accounts) AND (points > 0 OR spent > 0 OR held > 0 OR repaid > 0)
    AND (occurred_at, source_id) < (:before_at, :before_id)
ORDER BY occurred_at DESC, source_id DESC LIMIT :limit
"""
_CHANGE = """
UPDATE lots SET account_id = new.account_id, occurred_at = new.occurred_at, currency = new.currency,
    net_minor = new.net_minor, points = new.points, reversed = new.reversed,
    programme_version = new.programme_version, available_from = new.available_from, expires_at = new.expires_at,
    posted = new.posted, posted_in = new.posted_in, spent = new.spent, held = new.held, repaid = new.repaid,
    owed = new.owed, due_at = new.due_at
FROM unnest(
    CAST(:source_id AS text[]), CAST(:origin AS text[]), CAST(:account_id AS bigint[]),
    CAST(:occurred_at AS timestamptz[]), CAST(:currency AS text[]), CAST(:net_minor AS bigint[]),
    CAST(:points AS bigint[]), CAST(:reversed AS bigint[]), CAST(:programme_version AS int[]),
    CAST(:judged_with AS int[]), CAST(:available_from AS timestamptz[]), CAST(:expires_at AS timestamptz[]),
    CAST(:posted AS bigint[]), CAST(:posted_in AS text[]), CAST(:spent AS bigint[]), CAST(:held AS bigint[]),
    CAST(:repaid AS bigint[]), CAST(:owed AS bigint[]), CAST(:due_at AS timestamptz[]))
    AS new (source_id, origin, account_id, occurred_at, currency, net_minor, points, reversed, programme_version,
    judged_with, available_from, expires_at, posted, posted_in, spent, held, repaid, owed, due_at)
WHERE lots.source_id = new.source_id AND lots.origin = new.origin
"""
# By the partial index on what is free; few lots of an account are.
# `lapsed`: how many holds have run out that aren't written down as such.
_FREE = f"""
SELECT {', '.join(LOT)}, (
    SELECT count(*) FROM holds WHERE account_id = ANY(:accounts) AND state = 'open' AND expires_at <= :now
) AS lapsed
FROM lots WHERE account_id = ANY(:accounts) AND posted > 0 AND posted_in <> 'expired'
"""
_LOTS_BY_KEY = f"""
SELECT {', '.join("lots." + name for name in LOT)}
FROM unnest(CAST(:source_ids AS text[]), CAST(:origins AS text[])) AS wanted (source_id, origin)
    JOIN lots USING (source_id, origin)
"""
_DUE_ACCOUNTS = """
SELECT DISTINCT account_id
FROM (SELECT account_id FROM lots WHERE due_at <= :now ORDER BY due_at LIMIT :limit) AS first
"""
_NEXT_DUE = "SELECT min(due_at) AS due_at FROM lots WHERE due_at IS NOT NULL"
# Scans of lots_account: a customer's lots are few. `lapsed`: holds that ran out by then, whatever was written down.
_BALANCE = """
WITH lapsed AS (
    SELECT h.source_id, h.origin, sum(h.points) AS points
    FROM (SELECT unnest(source_ids) AS source_id, unnest(origins) AS origin, unnest(portions) AS points
          FROM holds WHERE account_id = ANY(:accounts) AND state = 'open' AND expires_at <= :at) AS h
    GROUP BY h.source_id, h.origin
), live AS (
    SELECT l.points, l.origin, l.available_from, l.expires_at, l.held - coalesce(h.points, 0) AS held,
           l.posted + coalesce(h.points, 0) AS free, coalesce(l.expires_at > :at, true) AS lasts
    FROM lots AS l LEFT JOIN lapsed AS h ON h.source_id = l.source_id AND h.origin = l.origin
    WHERE l.account_id = ANY(:accounts)
), next AS (
    SELECT min(expires_at) AS at FROM live WHERE lasts AND free > 0
)
SELECT coalesce(sum(free) FILTER (WHERE lasts AND available_from <= :at), 0) AS available,
       coalesce(sum(free) FILTER (WHERE lasts AND available_from > :at), 0) AS pending,
       coalesce(sum(held), 0) AS held,
       coalesce(sum(points) FILTER (WHERE origin NOT IN ('adjustment', 'transfer')), 0) AS lifetime_earned,
       (SELECT at FROM next) AS next_at,
       coalesce(sum(free) FILTER (WHERE expires_at = (SELECT at FROM next)), 0) AS expiring,
       (SELECT bool_or(unsettled) FROM accounts WHERE account_id = ANY(:accounts)) AS unsettled
FROM live
"""
# `available` of persons who owe nothing and of whose holds none has lapsed; null of others.
_FUNDS = f"""
WITH persons AS MATERIALIZED ({PERSONS})
SELECT p.asked, p.id AS owner, own.accounts, CASE
    WHEN own.unsettled OR EXISTS (
        SELECT FROM holds WHERE account_id = ANY(own.accounts) AND state = 'open' AND expires_at <= :at
    ) THEN NULL
    ELSE (SELECT coalesce(sum(posted), 0) FROM lots
          WHERE account_id = ANY(own.accounts) AND posted > 0 AND posted_in <> 'expired'
              AND available_from <= :at AND (expires_at IS NULL OR expires_at > :at))
END AS available
FROM persons AS p CROSS JOIN LATERAL (
    SELECT array_agg(account_id) AS accounts, bool_or(unsettled) AS unsettled
    FROM accounts WHERE account_id = p.id OR survivor_account_id = p.id
) AS own
"""
_POSTED = """
SELECT account_id, book, sum(points)::bigint AS points
FROM (
    SELECT account_id, posted_in AS book, posted AS points FROM lots WHERE account_id = ANY(:accounts)
    UNION ALL SELECT account_id, 'held', held FROM lots WHERE account_id = ANY(:accounts)
    UNION ALL SELECT account_id, 'debt', repaid - owed FROM lots WHERE account_id = ANY(:accounts)
    UNION ALL SELECT account_id, 'debt', - foreign_points FROM takes WHERE account_id = ANY(:accounts)
) AS books
WHERE points <> 0 GROUP BY account_id, book
"""
_ALL_LOTS = f"""
SELECT s.customer_id AS survivor_id, a.customer_id, {", ".join("lots." + name for name in LOT)}
FROM lots JOIN accounts AS a USING (account_id)
    JOIN accounts AS s ON s.account_id = coalesce(a.survivor_account_id, a.account_id)
ORDER BY s.customer_id, a.customer_id, source_id, origin
"""


async def lots_of(tx: Tx, accounts: Sequence[int]) -> list[Lot]:
    """Every lot of these accounts."""
    return [lot_of(row) for row in await fetch(tx, _LOTS, accounts=list(accounts))]


async def free_lots(tx: Tx, accounts: Sequence[int], now: datetime) -> tuple[list[Lot], bool]:
    """The lots of these accounts of which something is neither used nor expired, as far as it is written down; and
    whether holds may have run out that aren't written down as such."""
    rows = await fetch(tx, _FREE, accounts=list(accounts), now=now)
    return [lot_of(row) for row in rows], not rows or rows[0]["lapsed"] > 0


async def lots_by_key(tx: Tx, keys: Sequence[LotKey]) -> list[Lot]:
    """Those of these lots that there are."""
    origins, ids = columns(keys, 2)
    return [lot_of(row) for row in await fetch(tx, _LOTS_BY_KEY, origins=origins, source_ids=ids)]


async def due_lots(tx: Tx, accounts: Sequence[int], now: datetime) -> list[Lot]:
    """The lots of locked accounts that have something to be written down."""
    lots = [lot_of(row) for row in await fetch(tx, _DUE, accounts=list(accounts), now=now)]
    return sorted(lots, key=lambda lot: (lot.due_at or now, lot.award.key))


async def lot_page(tx: Tx, accounts: Sequence[int], before: tuple[datetime, str], limit: int) -> list[Lot]:
    """Lots with points, or of which something is used, newest first."""
    at, id_ = before
    rows = await fetch(tx, _LOT_PAGE, accounts=list(accounts), before_at=at, before_id=id_, limit=limit)
    return [lot_of(row) for row in rows]


async def add_lots(tx: Tx, lots: Sequence[Lot]) -> None:
    """Lots of orders that have none yet."""
    if lots:
        await copy(tx, "lots", LOT, [_lot_row(lot) for lot in lots])


async def change_lots(tx: Tx, lots: Sequence[Lot]) -> None:
    """Writes changed lots back; ``judged_with`` stays as it is."""
    if lots:
        rows = sorted(_lot_row(lot) for lot in lots)
        await execute(tx, _CHANGE, **dict(zip(LOT, columns(rows, len(LOT)), strict=True)))


async def due_accounts(tx: Tx, now: datetime, limit: int) -> list[int]:
    """Accounts of the lots that have been due the longest."""
    return [row["account_id"] for row in await fetch(tx, _DUE_ACCOUNTS, now=now, limit=limit)]


async def next_due(tx: Tx) -> datetime | None:
    """When the next lot falls due."""
    due: datetime | None = (await fetch(tx, _NEXT_DUE))[0]["due_at"]
    return due


async def funds(tx: Tx, customers: Sequence[str], at: datetime) -> dict[str, tuple[int, list[int], int | None]]:
    """Of each customer that there is an account of: the account that answers for him, all of that person's, and the
    points that he can use at an instant, None where only the whole balance tells."""
    return {
        row["asked"]: (row["owner"], row["accounts"], None if row["available"] is None else int(row["available"]))
        for row in await fetch(tx, _FUNDS, customers=list(customers), at=at)
    }


async def balance(tx: Tx, accounts: Sequence[int], at: datetime) -> Row:
    """available, pending, held, lifetime_earned and the next expiry as they are at an instant; of a person who is
    ``unsettled`` only his takes and holds tell."""
    return (await fetch(tx, _BALANCE, accounts=list(accounts), at=at))[0]


async def posted(tx: Tx, accounts: Sequence[int]) -> dict[tuple[int, str], int]:
    """What lots and takes say is in the customers' books, by account and book."""
    rows = await fetch(tx, _POSTED, accounts=list(accounts))
    return {(row["account_id"], row["book"]): row["points"] for row in rows}


async def every_lot(tx: Tx) -> list[tuple[str, str, Lot]]:
    """Every lot with who answers for its customer, and the customer, sorted."""
    return [(row["survivor_id"], row["customer_id"], lot_of(row)) for row in await fetch(tx, _ALL_LOTS)]


def lot_of(row: Row) -> Lot:
    award = Award(
        row["source_id"], row["occurred_at"], row["currency"], row["net_minor"], row["points"], row["reversed"],
        row["programme_version"], row["judged_with"], row["available_from"], row["expires_at"], row["origin"],
    )  # fmt: skip
    return Lot(
        row["account_id"], award, row["posted"], row["posted_in"], row["spent"], row["held"], row["repaid"], row["owed"]
    )


def _lot_row(lot: Lot) -> tuple[Any, ...]:
    a = lot.award
    return (
        a.source_id, a.origin, lot.account_id, a.occurred_at, a.currency, a.net_minor, a.points, a.reversed,
        a.programme_version, a.judged_with, a.available_from, a.expires_at, lot.posted, lot.posted_in, lot.spent,
        lot.held, lot.repaid, lot.owed, lot.due_at,
    )  # fmt: skip
