"""Accounts, lots and the ledger: all SQL that reads or writes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import asyncpg
import msgspec

from services.loyalty.ledger.domain import Award, Entry, Lot, LotKey
from services.loyalty.ledger.spending import Hold, HoldExistsError, HoldState, Portions, Take
from shared.db import Row, Tx, columns, copy, execute, fetch

_OPEN = """
INSERT INTO accounts (customer_id, opened_at)
SELECT customer_id, :now FROM unnest(CAST(:customers AS text[])) AS new (customer_id) ORDER BY customer_id
ON CONFLICT DO NOTHING
"""
_ACCOUNT = "account_id, customer_id, survivor_account_id, last_at, orders, caps, entries, head, unsettled"
_LOCK = f"SELECT {_ACCOUNT} FROM accounts WHERE customer_id = ANY(:customers) ORDER BY customer_id FOR UPDATE"
_LOCK_BY_ID = f"SELECT {_ACCOUNT} FROM accounts WHERE account_id = ANY(:accounts) ORDER BY customer_id FOR UPDATE"
# By the unique index on customer_id, the primary key and the partial index on survivors.
_LOCK_PERSON = f"""
WITH person AS MATERIALIZED (
    SELECT coalesce(survivor_account_id, account_id) AS id FROM accounts WHERE customer_id = :customer
)
SELECT {_ACCOUNT} FROM accounts
WHERE account_id = (SELECT id FROM person) OR survivor_account_id = (SELECT id FROM person)
ORDER BY customer_id FOR UPDATE
"""
_LOCK_PERSONS = f"""
WITH persons AS MATERIALIZED (
    SELECT coalesce(survivor_account_id, account_id) AS id FROM accounts WHERE customer_id = ANY(:customers)
)
SELECT {_ACCOUNT} FROM accounts
WHERE account_id = ANY(ARRAY(SELECT id FROM persons)) OR survivor_account_id = ANY(ARRAY(SELECT id FROM persons))
ORDER BY customer_id FOR UPDATE
"""
_SAVE = """
UPDATE accounts SET last_at = new.last_at, orders = new.orders, caps = new.caps, entries = new.entries, head = new.head,
    unsettled = new.unsettled
FROM unnest(CAST(:ids AS bigint[]), CAST(:last_at AS timestamptz[]), CAST(:orders AS int[]), CAST(:caps AS bytea[]),
            CAST(:entries AS int[]), CAST(:heads AS bytea[]), CAST(:unsettled AS boolean[]))
    AS new (account_id, last_at, orders, caps, entries, head, unsettled)
WHERE accounts.account_id = new.account_id
"""
# All that a command writes down goes in one round trip and as one parameter: of a handful of rows an array a column
# costs more than to read JSON. No part reads what another one writes; those that have nothing to do are left out. Told
# of a limit, the planner takes the rows for few, as they are, and looks each up by its key.
_FEW = """
    LATERAL (SELECT * FROM jsonb_to_recordset(said.all -> '{0}') AS of ({1})
             LIMIT jsonb_array_length(said.all -> '{0}'))
"""
_ACCOUNTS = _FEW.format("accounts", "account_id bigint, entries int, head text, unsettled boolean")
_MOVED = _FEW.format(
    "lots",
    "source_id text, origin text, posted bigint, posted_in text, spent bigint, held bigint, repaid bigint, owed bigint,"
    " due_at timestamptz",
)
_CHANGED = _FEW.format(
    "changed", "hold_id text, committed bigint, state text, origins text[], source_ids text[], portions bigint[]"
)
_PARTS = {
    "accounts": f"""
    UPDATE accounts SET entries = new.entries, head = decode(new.head, 'hex'), unsettled = new.unsettled
    FROM said, {_ACCOUNTS} AS new WHERE accounts.account_id = new.account_id""",
    "lots": f"""
    UPDATE lots SET posted = new.posted, posted_in = new.posted_in, spent = new.spent, held = new.held,
        repaid = new.repaid, owed = new.owed, due_at = new.due_at
    FROM said, {_MOVED} AS new WHERE lots.source_id = new.source_id AND lots.origin = new.origin""",
    "takes": """
    INSERT INTO takes (take_id, account_id, kind, points, occurred_at, origins, source_ids, portions)
    SELECT new.*
    FROM said, jsonb_to_recordset(said.all -> 'takes')
        AS new (take_id text, account_id bigint, kind text, points bigint, occurred_at timestamptz, origins text[],
                source_ids text[], portions bigint[])""",
    "opened": """
    INSERT INTO holds (hold_id, account_id, points, committed, state, created_at, expires_at, origins, source_ids,
                       portions)
    SELECT new.*
    FROM said, jsonb_to_recordset(said.all -> 'opened')
        AS new (hold_id text, account_id bigint, points bigint, committed bigint, state text, created_at timestamptz,
                expires_at timestamptz, origins text[], source_ids text[], portions bigint[])""",
    "changed": f"""
    UPDATE holds SET committed = new.committed, state = new.state, origins = new.origins, source_ids = new.source_ids,
        portions = new.portions
    FROM said, {_CHANGED} AS new WHERE holds.hold_id = new.hold_id""",
    "entries": """
    INSERT INTO ledger (account_id, seq, kind, debit, credit, points, origin, source_id, programme_version, occurred_at,
                        known_at, cause_source, cause_id, hash)
    SELECT new.account_id, new.seq, new.kind, new.debit, new.credit, new.points, new.origin, new.source_id,
           new.programme_version, new.occurred_at, new.known_at, new.cause_source, new.cause_id,
           decode(new.hash, 'hex')
    FROM said, jsonb_to_recordset(said.all -> 'entries')
        AS new (account_id bigint, seq int, kind text, debit text, credit text, points bigint, origin text,
                source_id text, programme_version int, occurred_at timestamptz, known_at timestamptz,
                cause_source text, cause_id text, hash text)""",
}
# With the other accounts of persons who owe points: what comes to one, pays for the others.
_PERSONS = """
SELECT account_id FROM accounts WHERE account_id = ANY(:accounts)
UNION
SELECT other.account_id
FROM accounts AS a JOIN accounts AS other ON other.account_id = a.survivor_account_id
    OR other.survivor_account_id = coalesce(a.survivor_account_id, a.account_id)
WHERE a.account_id = ANY(:accounts) AND a.unsettled
"""
_FIND = "SELECT account_id, customer_id FROM accounts WHERE customer_id = ANY(:customers) ORDER BY account_id"
_POINT = """
UPDATE accounts SET survivor_account_id = new.survivor
FROM unnest(CAST(:ids AS bigint[]), CAST(:survivors AS bigint[])) AS new (account_id, survivor)
WHERE accounts.account_id = new.account_id
"""
_LOT = (
    "source_id", "origin", "account_id", "occurred_at", "currency", "net_minor", "points", "reversed",
    "programme_version", "judged_with", "available_from", "expires_at", "posted", "posted_in", "spent", "held",
    "repaid", "owed", "due_at",
)  # fmt: skip
_LOTS = f"SELECT {', '.join(_LOT)} FROM lots WHERE account_id = ANY(:accounts)"
_DUE = f"SELECT {', '.join(_LOT)} FROM lots WHERE account_id = ANY(:accounts) AND due_at <= :now"
_LOT_PAGE = f"""
SELECT {", ".join(_LOT)} FROM lots
WHERE account_id = ANY(:accounts) AND points > 0 AND (occurred_at, source_id) < (:before_at, :before_id)
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
SELECT {', '.join(_LOT)}, (
    SELECT count(*) FROM holds WHERE account_id = ANY(:accounts) AND state = 'open' AND expires_at <= :now
) AS lapsed
FROM lots WHERE account_id = ANY(:accounts) AND posted > 0 AND posted_in <> 'expired'
"""
_LOTS_BY_KEY = f"""
SELECT {', '.join("lots." + name for name in _LOT)}
FROM unnest(CAST(:source_ids AS text[]), CAST(:origins AS text[])) AS wanted (source_id, origin)
    JOIN lots USING (source_id, origin)
"""
# Of whom something was used: what a merge or its undo may concern.
_USERS = """
SELECT account_id FROM lots WHERE account_id = ANY(:accounts) AND (spent > 0 OR held > 0 OR repaid > 0)
UNION SELECT account_id FROM takes WHERE account_id = ANY(:accounts) AND rolled_back_at IS NULL
"""
_TAKE = (
    "take_id", "account_id", "kind", "points", "occurred_at", "origins", "source_ids", "portions", "foreign_points",
    "rolled_back_at",
)  # fmt: skip
_TAKES = f"SELECT {', '.join(_TAKE)} FROM takes WHERE account_id = ANY(:accounts) AND rolled_back_at IS NULL"
_ONE_TAKE = f"SELECT {', '.join(_TAKE)} FROM takes WHERE take_id = :id"
_TAKE_STATES = "SELECT take_id, rolled_back_at IS NOT NULL AS rolled_back FROM takes WHERE take_id = ANY(:ids)"
_ADD_TAKE = f"""
INSERT INTO takes ({', '.join(_TAKE)})
VALUES (:take_id, :account_id, :kind, :points, :occurred_at, :origins, :source_ids, :portions, :foreign_points,
        :rolled_back_at)
"""
_FOREIGN = """
UPDATE takes SET foreign_points = new.points
FROM unnest(CAST(:ids AS text[]), CAST(:points AS bigint[])) AS new (take_id, points)
WHERE takes.take_id = new.take_id
"""
_ROLL_BACK = "UPDATE takes SET rolled_back_at = :at, foreign_points = 0 WHERE take_id = :id"
_HOLD = (
    "hold_id", "account_id", "points", "committed", "state", "created_at", "expires_at", "origins", "source_ids",
    "portions",
)  # fmt: skip
_ONE_HOLD = f"SELECT {', '.join(_HOLD)} FROM holds WHERE hold_id = :id"
# A row a lot that it holds points of; one without where it holds none any longer.
_HOLD_AND_LOTS = f"""
SELECT {', '.join(f'h.{name} AS h_{name}' for name in _HOLD)}, {', '.join('lots.' + name for name in _LOT)}
FROM holds AS h
    LEFT JOIN LATERAL unnest(h.source_ids, h.origins) AS of (source_id, origin) ON true
    LEFT JOIN lots ON lots.source_id = of.source_id AND lots.origin = of.origin
WHERE h.hold_id = :id
"""
_OPEN_HOLDS = f"SELECT {', '.join(_HOLD)} FROM holds WHERE account_id = ANY(:accounts) AND state = 'open'"
_DUE_HOLDS = "SELECT hold_id FROM holds WHERE state = 'open' AND expires_at <= :now ORDER BY expires_at LIMIT :limit"
_NEXT_HOLD = "SELECT min(expires_at) AS at FROM holds WHERE state = 'open'"
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
), free AS (
    SELECT l.points, l.origin, l.available_from, l.expires_at, l.held - coalesce(h.points, 0) AS held,
           l.posted + greatest(0, coalesce(h.points, 0) - l.owed) AS free,
           l.owed - l.repaid - least(l.owed, coalesce(h.points, 0)) AS owed
    FROM lots AS l LEFT JOIN lapsed AS h ON h.source_id = l.source_id AND h.origin = l.origin
    WHERE l.account_id = ANY(:accounts)
)
SELECT coalesce(sum(free) FILTER (WHERE available_from <= :at AND (expires_at IS NULL OR expires_at > :at)), 0)
           AS available,
       coalesce(sum(free) FILTER (WHERE available_from > :at AND (expires_at IS NULL OR expires_at > :at)), 0)
           AS pending,
       coalesce(sum(held), 0) AS held,
       coalesce(sum(owed), 0) + (SELECT coalesce(sum(foreign_points), 0) FROM takes WHERE account_id = ANY(:accounts))
           AS debt,
       coalesce(sum(points) FILTER (WHERE origin NOT IN ('adjustment', 'transfer')), 0) AS lifetime_earned,
       min(expires_at) FILTER (WHERE expires_at > :at AND free > 0) AS next_at
FROM free
"""
# `available` of persons who owe nothing and of whose holds none has lapsed; null of others.
_FUNDS = """
WITH person AS MATERIALIZED (
    SELECT coalesce(survivor_account_id, account_id) AS id FROM accounts WHERE customer_id = :customer
), own AS MATERIALIZED (
    SELECT (SELECT id FROM person) AS owner, array_agg(account_id) AS accounts, bool_or(unsettled) AS unsettled
    FROM accounts WHERE account_id = (SELECT id FROM person) OR survivor_account_id = (SELECT id FROM person)
)
SELECT owner, accounts, CASE
    WHEN unsettled OR EXISTS (
        SELECT FROM holds
        WHERE account_id = ANY(CAST((SELECT accounts FROM own) AS bigint[])) AND state = 'open' AND expires_at <= :at
    ) THEN NULL
    ELSE (SELECT coalesce(sum(posted), 0) FROM lots
          WHERE account_id = ANY(CAST((SELECT accounts FROM own) AS bigint[])) AND posted > 0 AND posted_in <> 'expired'
              AND available_from <= :at AND (expires_at IS NULL OR expires_at > :at))
END AS available
FROM own
"""
_EXPIRING = "SELECT coalesce(sum(posted), 0) AS points FROM lots WHERE account_id = ANY(:accounts) AND expires_at = :at"
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
_AFTER = "SELECT account_id FROM accounts WHERE account_id > :after ORDER BY account_id LIMIT :limit"
_CHAINS = f"SELECT {', '.join(_ENTRY)} FROM ledger WHERE account_id = ANY(:accounts) ORDER BY account_id, seq"
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
_ENTRIES = "SELECT count(*) AS entries FROM ledger"
_ORPHAN = """
SELECT account_id, seq FROM ledger l WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = l.account_id)
ORDER BY account_id, seq LIMIT 1
"""
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_ALL_LOTS = f"""
SELECT s.customer_id AS survivor_id, a.customer_id, {", ".join("lots." + name for name in _LOT)}
FROM lots JOIN accounts AS a USING (account_id)
    JOIN accounts AS s ON s.account_id = coalesce(a.survivor_account_id, a.account_id)
ORDER BY s.customer_id, a.customer_id, source_id, origin
"""
_ALL_TAKES = f"""
SELECT s.customer_id AS survivor_id, {", ".join("takes." + name for name in _TAKE)}
FROM takes JOIN accounts AS a USING (account_id)
    JOIN accounts AS s ON s.account_id = coalesce(a.survivor_account_id, a.account_id)
WHERE rolled_back_at IS NULL ORDER BY s.customer_id, take_id
"""


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


async def lock_person(tx: Tx, customer: str) -> Sequence[Row]:
    """The same for all accounts of whom this customer's account is."""
    return await fetch(tx, _LOCK_PERSON, customer=customer)


async def lock_persons(tx: Tx, customers: Sequence[str]) -> Sequence[Row]:
    """The same for several persons, in one order: who locks the same in another order of names waits."""
    return await fetch(tx, _LOCK_PERSONS, customers=list(customers))


async def save(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Writes (account_id, last_at, orders, caps, entries, head, unsettled) back."""
    names = ("ids", "last_at", "orders", "caps", "entries", "heads", "unsettled")
    await execute(tx, _SAVE, **dict(zip(names, columns(rows, len(names)), strict=True)))


async def enter(
    tx: Tx, accounts: Sequence[tuple[int, int, bytes, bool]], lots: Sequence[Lot], entries: Sequence[Entry],
    takes: Sequence[Take], opened: Sequence[Hold], changed: Sequence[Hold],
) -> None:  # fmt: skip
    """Writes (account_id, entries, head, unsettled), lots whose awards stand, entries, new takes, new holds and changed
    ones at once. Raises HoldExistsError."""
    said = {
        "accounts": [
            {"account_id": id, "entries": count, "head": head.hex(), "unsettled": unsettled}
            for id, count, head, unsettled in accounts
        ],
        "lots": [_moved(lot) for lot in lots],
        "takes": [_taken(take) for take in takes],
        "opened": [_held(hold) for hold in opened],
        "changed": [_held(hold) for hold in changed],
        "entries": [{**msgspec.structs.asdict(entry), "hash": entry.hash.hex()} for entry in entries],
    }
    parts = tuple(name for name, rows in said.items() if rows)
    if not parts:
        return
    try:
        await execute(tx, _entering(parts), said=msgspec.json.encode(said).decode())
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "holds_pkey":
            raise HoldExistsError from None
        raise


@cache
def _entering(parts: tuple[str, ...]) -> str:
    named = [f"{name}_ AS ({_PARTS[name]}\n)" for name in parts]
    said = "said AS MATERIALIZED (SELECT CAST(:said AS jsonb) AS all)"
    return f"WITH {', '.join([said, *named])} SELECT count(*) FROM said"


async def persons_of(tx: Tx, accounts: Sequence[int]) -> list[int]:
    """These accounts, and all others of those of their persons who are unsettled."""
    return [row["account_id"] for row in await fetch(tx, _PERSONS, accounts=list(accounts))]


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


async def free_lots(tx: Tx, accounts: Sequence[int], now: datetime) -> tuple[list[Lot], bool]:
    """The lots of these accounts of which something is neither used nor expired, as far as it is written down; and
    whether holds may have run out that aren't written down as such."""
    rows = await fetch(tx, _FREE, accounts=list(accounts), now=now)
    return [_lot(row) for row in rows], not rows or rows[0]["lapsed"] > 0


async def lots_by_key(tx: Tx, keys: Sequence[LotKey]) -> list[Lot]:
    """Those of these lots that there are."""
    origins, ids = columns(keys, 2)
    return [_lot(row) for row in await fetch(tx, _LOTS_BY_KEY, origins=origins, source_ids=ids)]


async def users(tx: Tx, accounts: Sequence[int]) -> set[int]:
    """Those of these accounts that used points, or whose points somebody used."""
    return {row["account_id"] for row in await fetch(tx, _USERS, accounts=list(accounts))}


async def takes_of(tx: Tx, accounts: Sequence[int]) -> list[Take]:
    """What these accounts took and wasn't rolled back."""
    return [_take(row) for row in await fetch(tx, _TAKES, accounts=list(accounts))]


async def take(tx: Tx, take_id: str) -> Take | None:
    """That take, or None."""
    rows = await fetch(tx, _ONE_TAKE, id=take_id)
    return _take(rows[0]) if rows else None


async def take_states(tx: Tx, ids: Sequence[str]) -> dict[str, bool]:
    """Those takes of these that there are, and whether each was rolled back."""
    return {row["take_id"]: row["rolled_back"] for row in await fetch(tx, _TAKE_STATES, ids=list(ids))}


async def add_take(tx: Tx, take: Take) -> None:
    """A new take."""
    await execute(
        tx, _ADD_TAKE, take_id=take.take_id, account_id=take.account_id, kind=take.kind, points=take.points,
        occurred_at=take.occurred_at, foreign_points=take.foreign, rolled_back_at=take.rolled_back_at,
        **_arrays(take.portions),
    )  # fmt: skip


async def note_foreign(tx: Tx, rows: Sequence[tuple[str, int]]) -> None:
    """Writes (take_id, foreign points)."""
    if rows:
        ids, points = columns(rows, 2)
        await execute(tx, _FOREIGN, ids=ids, points=points)


async def roll_back(tx: Tx, take_id: str, at: datetime) -> None:
    """The take counts no more."""
    await execute(tx, _ROLL_BACK, id=take_id, at=at)


async def hold(tx: Tx, hold_id: str) -> Hold | None:
    """That hold, or None."""
    rows = await fetch(tx, _ONE_HOLD, id=hold_id)
    return _hold(rows[0]) if rows else None


async def hold_and_lots(tx: Tx, hold_id: str) -> tuple[Hold, list[Lot]] | None:
    """That hold and the lots of which it holds points, or None."""
    rows = await fetch(tx, _HOLD_AND_LOTS, id=hold_id)
    if not rows:
        return None
    hold = _hold({name: rows[0][f"h_{name}"] for name in _HOLD})
    return hold, [_lot(row) for row in rows if row["source_id"] is not None]


async def open_holds(tx: Tx, accounts: Sequence[int]) -> list[Hold]:
    """The holds of these accounts that nobody has written down as ended."""
    return [_hold(row) for row in await fetch(tx, _OPEN_HOLDS, accounts=list(accounts))]


async def due_holds(tx: Tx, now: datetime, limit: int) -> list[str]:
    """The ids of open holds that have run out by now, the longest first."""
    return [row["hold_id"] for row in await fetch(tx, _DUE_HOLDS, now=now, limit=limit)]


async def next_hold_due(tx: Tx) -> datetime | None:
    """When the next open hold runs out."""
    at: datetime | None = (await fetch(tx, _NEXT_HOLD))[0]["at"]
    return at


async def due_lots(tx: Tx, accounts: Sequence[int], now: datetime) -> list[Lot]:
    """The lots of locked accounts that have something to be written down."""
    lots = [_lot(row) for row in await fetch(tx, _DUE, accounts=list(accounts), now=now)]
    return sorted(lots, key=lambda lot: (lot.due_at or now, lot.award.key))


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
        await copy(tx, "ledger", _ENTRY, [_entry_row(entry) for entry in entries])


async def due_accounts(tx: Tx, now: datetime, limit: int) -> list[int]:
    """Accounts of the lots that have been due the longest."""
    return [row["account_id"] for row in await fetch(tx, _DUE_ACCOUNTS, now=now, limit=limit)]


async def next_due(tx: Tx) -> datetime | None:
    """When the next lot falls due."""
    due: datetime | None = (await fetch(tx, _NEXT_DUE))[0]["due_at"]
    return due


async def funds(tx: Tx, customer: str, at: datetime) -> tuple[int, list[int], int | None] | None:
    """The account that answers for who has this one's account, all of that person's, and the points that he can use at
    an instant: None where only the whole balance tells. None where there is no such account."""
    row = (await fetch(tx, _FUNDS, customer=customer, at=at))[0]
    if row["owner"] is None:
        return None
    return row["owner"], row["accounts"], None if row["available"] is None else int(row["available"])


async def balance(tx: Tx, accounts: Sequence[int], at: datetime) -> Row:
    """available, pending, held, debt, lifetime_earned and the next expiry as they are at an instant."""
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


async def accounts_after(tx: Tx, after: int, limit: int) -> list[int]:
    """Accounts by id."""
    return [row["account_id"] for row in await fetch(tx, _AFTER, after=after, limit=limit)]


async def chains(tx: Tx, accounts: Sequence[int]) -> list[Entry]:
    """The whole chains of these accounts, in their order."""
    return [_entry(row) for row in await fetch(tx, _CHAINS, accounts=list(accounts))]


async def posted(tx: Tx, accounts: Sequence[int]) -> dict[tuple[int, str], int]:
    """What lots and takes say is in the customers' books, by account and book."""
    rows = await fetch(tx, _POSTED, accounts=list(accounts))
    return {(row["account_id"], row["book"]): row["points"] for row in rows}


async def count_entries(tx: Tx) -> int:
    """How many entries there are."""
    return int((await fetch(tx, _ENTRIES))[0]["entries"])


async def orphan(tx: Tx) -> tuple[int, int] | None:
    """The first entry (account_id, seq) without an account."""
    rows = await fetch(tx, _ORPHAN)
    return (rows[0]["account_id"], rows[0]["seq"]) if rows else None


async def every_lot(tx: Tx) -> list[tuple[str, str, Lot]]:
    """Every lot with who answers for its customer, and the customer, sorted."""
    return [(row["survivor_id"], row["customer_id"], _lot(row)) for row in await fetch(tx, _ALL_LOTS)]


async def every_take(tx: Tx) -> list[tuple[str, Take]]:
    """Every take that wasn't rolled back, with who answers for who took, sorted."""
    return [(row["survivor_id"], _take(row)) for row in await fetch(tx, _ALL_TAKES)]


def _lot(row: Row) -> Lot:
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


def _entry_row(e: Entry) -> tuple[Any, ...]:
    return (
        e.account_id, e.seq, e.kind, e.debit, e.credit, e.points, e.origin, e.source_id, e.programme_version,
        e.occurred_at, e.known_at, e.cause_source, e.cause_id, e.hash,
    )  # fmt: skip


def _moved(lot: Lot) -> dict[str, Any]:
    return {
        "source_id": lot.award.source_id, "origin": lot.award.origin, "posted": lot.posted,
        "posted_in": lot.posted_in, "spent": lot.spent, "held": lot.held, "repaid": lot.repaid, "owed": lot.owed,
        "due_at": lot.due_at,
    }  # fmt: skip


def _taken(take: Take) -> dict[str, Any]:
    return {
        "take_id": take.take_id, "account_id": take.account_id, "kind": take.kind, "points": take.points,
        "occurred_at": take.occurred_at, **_arrays(take.portions),
    }  # fmt: skip


def _held(hold: Hold) -> dict[str, Any]:
    return {
        "hold_id": hold.hold_id, "account_id": hold.account_id, "points": hold.points, "committed": hold.committed,
        "state": hold.state, "created_at": hold.created_at, "expires_at": hold.expires_at, **_arrays(hold.portions),
    }  # fmt: skip


def _entry(row: Row) -> Entry:
    return Entry(**row)


def _take(row: Row) -> Take:
    return Take(
        row["take_id"], row["account_id"], row["kind"], row["occurred_at"], _portions(row), row["foreign_points"],
        row["rolled_back_at"],
    )  # fmt: skip


def _hold(row: Row | Mapping[str, Any]) -> Hold:
    state: HoldState = row["state"]
    return Hold(
        row["hold_id"], row["account_id"], row["points"], row["created_at"], row["expires_at"], _portions(row),
        row["committed"], state,
    )  # fmt: skip


def _portions(row: Row | Mapping[str, Any]) -> Portions:
    keys = zip(row["origins"], row["source_ids"], strict=True)
    return tuple(zip(keys, row["portions"], strict=True))


def _arrays(portions: Portions) -> dict[str, list[Any]]:
    return {
        "origins": [origin for (origin, _), _ in portions],
        "source_ids": [source_id for (_, source_id), _ in portions],
        "portions": [points for _, points in portions],
    }
