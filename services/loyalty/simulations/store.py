"""Backtests as they stand, and the facts that one judges, as of one moment."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from services.loyalty.earning.pools import Grant
from services.loyalty.simulations.domain import Figures, Grants, Past, Trial
from shared.contracts.orders import Order
from shared.db import Row, Tx, execute, fetch
from shared.messaging.facts import ORDER_KINDS, assemble

State = Literal["waiting", "running", "done", "failed"]

_COLUMNS = """
simulation_id, state, asked, created_at, started_at, ended_at, known_at, persons, done, figures, error
"""
_ADD = """
INSERT INTO simulations (simulation_id, state, asked, created_by, created_at)
VALUES (:id, 'waiting', :asked, :by, :now)
"""
_FIND = f"SELECT {_COLUMNS} FROM simulations WHERE simulation_id = :id"
_OPEN = "SELECT EXISTS (SELECT FROM simulations WHERE state IN ('waiting', 'running')) AS open"
_FAIL_RUNNING = """
UPDATE simulations SET state = 'failed', error = :error, ended_at = :now WHERE state = 'running'
"""
_START = f"""
UPDATE simulations SET state = 'running', started_at = :now WHERE simulation_id = (
    SELECT simulation_id FROM simulations WHERE state = 'waiting' ORDER BY created_at, simulation_id LIMIT 1)
RETURNING {_COLUMNS}
"""
_BEGUN = "UPDATE simulations SET known_at = :known_at, persons = :persons WHERE simulation_id = :id"
_PROGRESS = "UPDATE simulations SET done = :done WHERE simulation_id = :id"
_DONE = """
UPDATE simulations SET state = 'done', figures = :figures, done = persons, ended_at = :now WHERE simulation_id = :id
"""
_FAILED = "UPDATE simulations SET state = 'failed', error = :error, ended_at = :now WHERE simulation_id = :id"

_READ_ONLY = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_EXPORT = "SELECT pg_export_snapshot() AS snapshot"
_SNAPSHOT = re.compile(r"[0-9A-F-]{1,64}")
_COUNT = "SELECT count(*) AS persons FROM accounts WHERE survivor_account_id IS NULL"
_PERSONS = """
SELECT account_id FROM accounts
WHERE account_id > :after AND survivor_account_id IS NULL AND account_id % :parts = :part
ORDER BY account_id LIMIT :limit
"""
# Two index scans: by the primary key, and by accounts_survivor.
_IDS = """
SELECT account_id AS person, account_id, customer_id FROM accounts WHERE account_id = ANY(:persons)
UNION ALL
SELECT survivor_account_id AS person, account_id, customer_id FROM accounts WHERE survivor_account_id = ANY(:persons)
"""
_JUDGED_WITH = """
SELECT source_id AS order_id, judged_with FROM lots WHERE account_id = ANY(:accounts) AND origin = 'order'
"""
# What was transferred is still open, with somebody else.
_USED = """
SELECT part.source_id, sum(part.points)::bigint AS points
FROM takes, unnest(origins, source_ids, portions) AS part (origin, source_id, points)
WHERE account_id = ANY(:accounts) AND kind <> 'transfer' AND part.origin = 'order' AND occurred_at < :until
    AND (rolled_back_at IS NULL OR rolled_back_at >= :until)
GROUP BY part.source_id
"""
_GRANTS = "SELECT order_id, rule, period, asked, granted, used FROM pool_grants WHERE order_id = ANY(:orders)"
_ORDERS = """
SELECT DISTINCT coalesce(order_id, key) AS order_id FROM facts
WHERE customer_id = ANY(:customers) AND kind = ANY(:kinds)
"""
_FACTS = """
SELECT kind, key, version, customer_id, order_id, source, event_id, backfill, body FROM facts
WHERE kind = 'purchase-recorded' AND key = ANY(:orders)
UNION ALL
SELECT kind, key, version, customer_id, order_id, source, event_id, backfill, body FROM facts
WHERE kind <> 'purchase-recorded' AND order_id = ANY(:orders) AND occurred_at < :until
"""


class Backtest(msgspec.Struct, frozen=True):
    """A backtest as it stands. ``persons``: whom it has to judge; ``done``: whom it has judged."""

    simulation_id: str
    state: State
    trial: Trial
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    known_at: datetime | None
    persons: int
    done: int
    figures: Figures | None
    error: str | None


async def add(tx: Tx, id: str, trial: Trial, by: str, now: datetime) -> None:
    """One that waits for its turn."""
    await execute(tx, _ADD, id=id, asked=msgspec.json.encode(trial), by=by, now=now)


async def find(tx: Tx, id: str) -> Backtest | None:
    """A backtest as it stands."""
    rows = await fetch(tx, _FIND, id=id)
    return _backtest(rows[0]) if rows else None


async def is_any_open(tx: Tx) -> bool:
    """Whether one waits, or is said to run."""
    return bool((await fetch(tx, _OPEN))[0]["open"])


async def fail_running(tx: Tx, error: str, now: datetime) -> int:
    """Those that are said to run have failed; answers how many."""
    return await execute(tx, _FAIL_RUNNING, error=error, now=now)


async def start(tx: Tx, now: datetime) -> Backtest | None:
    """That which has waited longest is at its turn."""
    rows = await fetch(tx, _START, now=now)
    return _backtest(rows[0]) if rows else None


async def begun(tx: Tx, id: str, known_at: datetime, persons: int) -> None:
    """As of which moment it judges, and whom."""
    await execute(tx, _BEGUN, id=id, known_at=known_at, persons=persons)


async def progress(tx: Tx, id: str, done: int) -> None:
    """How far it has come."""
    await execute(tx, _PROGRESS, id=id, done=done)


async def end(tx: Tx, id: str, figures: Figures, now: datetime) -> None:
    """What it has found."""
    await execute(tx, _DONE, id=id, figures=msgspec.json.encode(figures), now=now)


async def fail(tx: Tx, id: str, error: str, now: datetime) -> None:
    """It has found nothing."""
    await execute(tx, _FAILED, id=id, error=error, now=now)


async def export_snapshot(tx: Tx) -> tuple[str, int]:
    """First of a transaction: its moment, for others to read as of while it lasts, and how many persons there are."""
    await execute(tx, _READ_ONLY)
    persons = (await fetch(tx, _COUNT))[0]["persons"]
    return str((await fetch(tx, _EXPORT))[0]["snapshot"]), int(persons)


async def import_snapshot(tx: Tx, snapshot: str) -> None:
    """First of a transaction: it reads as of that moment."""
    assert _SNAPSHOT.fullmatch(snapshot), "PostgreSQL's own"
    await execute(tx, _READ_ONLY)
    await execute(tx, f"SET TRANSACTION SNAPSHOT '{snapshot}'")


async def persons_after(tx: Tx, after: int, part: int, parts: int, limit: int) -> list[int]:
    """The accounts that answer for persons, of one of so many parts of them."""
    rows = await fetch(tx, _PERSONS, after=after, part=part, parts=parts, limit=limit)
    return [row["account_id"] for row in rows]


async def histories(
    tx: Tx, persons: Sequence[int], until: datetime, *, is_shared: bool
) -> tuple[Mapping[int, list[list[Order]]], Past]:
    """Each person's orders, by id of his, as the facts from before ``until`` have them, sorted; and what became of
    them. ``is_shared``: whether any version has limits that all customers share."""
    ids = await fetch(tx, _IDS, persons=list(persons))
    found = await fetch(tx, _ORDERS, customers=[row["customer_id"] for row in ids], kinds=list(ORDER_KINDS))
    accounts = [row["account_id"] for row in ids]
    judged_with = await fetch(tx, _JUDGED_WITH, accounts=accounts)
    used = await fetch(tx, _USED, accounts=accounts, until=until)
    grants = await _grants_of(tx, [row["order_id"] for row in found]) if is_shared else {}
    orders: dict[str, list[Order]] = {row["customer_id"]: [] for row in ids}
    for order in assemble(await fetch(tx, _FACTS, orders=[row["order_id"] for row in found], until=until)):
        if order.customer_id in orders and order.occurred_at < until:
            orders[order.customer_id].append(order)
    by_person: dict[int, list[list[Order]]] = {person: [] for person in persons}
    for row in ids:
        if own := orders[row["customer_id"]]:
            own.sort(key=lambda order: order.sort_key)
            by_person[row["person"]].append(own)
    past = Past(
        {row["order_id"]: row["judged_with"] for row in judged_with},
        {row["source_id"]: row["points"] for row in used},
        grants,
    )
    return by_person, past


async def _grants_of(tx: Tx, orders: Sequence[str]) -> Grants:
    found: dict[str, dict[str, Grant]] = {}
    for row in await fetch(tx, _GRANTS, orders=list(orders)):
        grant = Grant(row["period"], row["asked"], row["granted"], row["used"])
        found.setdefault(row["order_id"], {})[row["rule"]] = grant
    return found


def _backtest(row: Row) -> Backtest:
    figures = row["figures"]
    return Backtest(
        row["simulation_id"], row["state"], msgspec.json.decode(row["asked"], type=Trial), row["created_at"],
        row["started_at"], row["ended_at"], row["known_at"], row["persons"], row["done"],
        msgspec.json.decode(figures, type=Figures) if figures is not None else None, row["error"],
    )  # fmt: skip
