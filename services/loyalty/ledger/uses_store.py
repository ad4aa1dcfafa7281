"""Takes and holds, and all that a command on points writes down."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.loyalty.ledger.domain import Entry, Lot
from services.loyalty.ledger.lots_store import LOT, lot_of
from services.loyalty.ledger.spending import Hold, HoldState, Portions, Take
from shared.db import Part, Row, Tx, columns, execute, fetch, write

# Told of a limit, the planner takes the rows for few, as they are, and looks each up by its key.
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
# Of whom something was used: what a merge or its undo may concern.
_USERS = """
SELECT account_id FROM lots WHERE account_id = ANY(:accounts) AND (spent > 0 OR held > 0 OR repaid > 0)
UNION SELECT account_id FROM takes WHERE account_id = ANY(:accounts) AND rolled_back_at IS NULL
UNION SELECT account_id FROM holds WHERE account_id = ANY(:accounts) AND state = 'open'
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
_HOLDS_AND_LOTS = f"""
SELECT {', '.join(f'h.{name} AS h_{name}' for name in _HOLD)}, {', '.join('lots.' + name for name in LOT)}
FROM holds AS h
    LEFT JOIN LATERAL unnest(h.source_ids, h.origins) AS of (source_id, origin) ON true
    LEFT JOIN lots ON lots.source_id = of.source_id AND lots.origin = of.origin
WHERE h.hold_id = ANY(:ids)
"""
_OPEN_HOLDS = f"SELECT {', '.join(_HOLD)} FROM holds WHERE account_id = ANY(:accounts) AND state = 'open'"
_DUE_HOLDS = "SELECT hold_id FROM holds WHERE state = 'open' AND expires_at <= :now ORDER BY expires_at LIMIT :limit"
_NEXT_HOLD = "SELECT min(expires_at) AS at FROM holds WHERE state = 'open'"
_ALL_TAKES = f"""
SELECT s.customer_id AS survivor_id, {", ".join("takes." + name for name in _TAKE)}
FROM takes JOIN accounts AS a USING (account_id)
    JOIN accounts AS s ON s.account_id = coalesce(a.survivor_account_id, a.account_id)
WHERE rolled_back_at IS NULL ORDER BY s.customer_id, take_id
"""


async def enter(
    tx: Tx, accounts: Sequence[tuple[int, int, bytes, bool]], lots: Sequence[Lot], entries: Sequence[Entry],
    takes: Sequence[Take], opened: Sequence[Hold], changed: Sequence[Hold], beside: Iterable[Part] = (),
) -> None:  # fmt: skip
    """Writes (account_id, entries, head, unsettled), lots whose awards stand, entries, new takes, new holds and changed
    ones at once, and what else there is ``beside``."""
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
    await write(tx, [*(Part(name, _PARTS[name], rows) for name, rows in said.items()), *beside])


async def users(tx: Tx, accounts: Sequence[int]) -> set[int]:
    """Those of these accounts that used or hold points, or whose points somebody used or holds."""
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


async def holds_and_lots(tx: Tx, ids: Sequence[str]) -> dict[str, tuple[Hold, list[Lot]]]:
    """Those of these holds that there are, by id, and the lots of which each holds points."""
    found: dict[str, tuple[Hold, list[Lot]]] = {}
    for row in await fetch(tx, _HOLDS_AND_LOTS, ids=list(ids)):
        if row["h_hold_id"] not in found:
            found[row["h_hold_id"]] = _hold({name: row[f"h_{name}"] for name in _HOLD}), []
        if row["source_id"] is not None:
            found[row["h_hold_id"]][1].append(lot_of(row))
    return found


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


async def every_take(tx: Tx) -> list[tuple[str, Take]]:
    """Every take that wasn't rolled back, with who answers for who took, sorted."""
    return [(row["survivor_id"], _take(row)) for row in await fetch(tx, _ALL_TAKES)]


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
