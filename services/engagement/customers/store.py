"""The table of customers as planning sees them: a blob of state, and when planning is due."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from services.engagement.customers.domain import Customer
from services.engagement.triggers import Trigger, read_trigger, write_trigger
from shared.db import Tx, columns, execute, fetch

CUSTOMERS_V1 = """
CREATE TABLE customers (
    -- The C collation sorts as Python does: the order of locks is the same on both sides.
    customer_id text COLLATE "C" PRIMARY KEY,
    state bytea NOT NULL,
    plan_due_at timestamptz,
    plan_trigger text
) WITH (fillfactor = 70);
CREATE INDEX customers_to_plan ON customers (plan_due_at) WHERE plan_due_at IS NOT NULL;
"""

PLANNED_AT_V2 = "ALTER TABLE customers ADD COLUMN planned_at timestamptz"
VERIFY_V6 = """
ALTER TABLE customers ADD COLUMN verify_at timestamptz;
CREATE INDEX customers_to_verify ON customers (verify_at) WHERE verify_at IS NOT NULL;
"""
"""``verify_at``: when it is next to be looked at whether somebody has to verify the customer's file."""
APART = timedelta(seconds=10)
"""A customer whose history is being loaded is planned once in a while, and not at every order."""

_ENSURE = """
INSERT INTO customers (customer_id, state)
SELECT id, convert_to('{}', 'UTF8') FROM unnest(CAST(:ids AS text[])) AS id ORDER BY id COLLATE "C"
ON CONFLICT DO NOTHING
"""
_LOCK = "SELECT customer_id, state FROM customers WHERE customer_id = ANY(:ids) ORDER BY customer_id FOR UPDATE"
_FREE = """
SELECT customer_id, state FROM customers WHERE customer_id = ANY(:ids) ORDER BY customer_id FOR UPDATE SKIP LOCKED
"""
_READ = "SELECT customer_id, state FROM customers WHERE customer_id = ANY(:ids)"
_SAVE = """
UPDATE customers AS c SET state = new.state,
    plan_due_at = least(c.plan_due_at, CASE WHEN new.due_at IS NOT NULL
                                       THEN greatest(new.due_at, c.planned_at + :apart) END),
    plan_trigger = coalesce(new.trigger, c.plan_trigger)
FROM unnest(CAST(:ids AS text[]), CAST(:states AS bytea[]), CAST(:due AS timestamptz[]), CAST(:triggers AS text[]))
    AS new (customer_id, state, due_at, trigger)
WHERE c.customer_id = new.customer_id
"""
_FLAG = """
UPDATE customers AS c SET plan_due_at = least(c.plan_due_at, :at), plan_trigger = new.trigger
FROM unnest(CAST(:ids AS text[]), CAST(:triggers AS text[])) AS new (customer_id, trigger)
WHERE c.customer_id = new.customer_id
"""
_FLAG_PLANNED = """
UPDATE customers AS c
SET plan_due_at = least(c.plan_due_at, greatest(:at, c.planned_at + :apart)), plan_trigger = new.trigger
FROM unnest(CAST(:ids AS text[]), CAST(:triggers AS text[])) AS new (customer_id, trigger)
WHERE c.customer_id = new.customer_id AND c.planned_at IS NOT NULL
"""
_NOTE_PLANNED = """
UPDATE customers SET planned_at = :at WHERE customer_id = ANY(:ids) AND planned_at IS NULL
"""
_PLANNED = """
SELECT customer_id FROM customers
WHERE customer_id = ANY(:ids) AND (planned_at IS NOT NULL OR plan_due_at IS NOT NULL)
"""
# Locked in key order first: a bare UPDATE over all rows would lock them in table order, against the consumers.
_FLAG_ALL = """
WITH locked AS (
    SELECT customer_id FROM customers WHERE planned_at IS NOT NULL OR plan_due_at IS NOT NULL
    ORDER BY customer_id FOR UPDATE
)
UPDATE customers AS c SET plan_due_at = least(c.plan_due_at, :at), plan_trigger = :trigger
FROM locked WHERE c.customer_id = locked.customer_id
"""
# By the partial index; SKIP LOCKED: planning never waits for a consumer, it comes back.
_TAKE = """
UPDATE customers AS c SET plan_due_at = NULL, planned_at = :now
FROM (SELECT customer_id FROM customers WHERE plan_due_at <= :now ORDER BY plan_due_at LIMIT :limit
      FOR UPDATE SKIP LOCKED) AS due
WHERE c.customer_id = due.customer_id
RETURNING c.customer_id, c.state, c.plan_trigger
"""
_NEXT = "SELECT min(plan_due_at) AS at FROM customers WHERE plan_due_at IS NOT NULL"
_ARM = """
UPDATE customers AS c SET verify_at = least(c.verify_at, new.at)
FROM unnest(CAST(:ids AS text[]), CAST(:at AS timestamptz[])) AS new (customer_id, at)
WHERE c.customer_id = new.customer_id
"""
_TAKE_TO_VERIFY = """
UPDATE customers AS c SET verify_at = NULL
FROM (SELECT customer_id FROM customers WHERE verify_at <= :now ORDER BY verify_at LIMIT :limit
      FOR UPDATE SKIP LOCKED) AS due
WHERE c.customer_id = due.customer_id
RETURNING c.customer_id, c.state
"""
_NEXT_TO_VERIFY = "SELECT min(verify_at) AS at FROM customers WHERE verify_at IS NOT NULL"
_ALL = "SELECT customer_id, state FROM customers ORDER BY customer_id"
_JOINED = "SELECT customer_id, survivor_id FROM survivors ORDER BY customer_id"
_FACTS = "SELECT kind, key, version, customer_id, digest FROM facts ORDER BY kind, key, version"

# Deterministic: the consents stand in the order of their names, whatever order they came in.
_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Customer)


async def lock(tx: Tx, customers: Sequence[str]) -> dict[str, Customer]:
    """The customers (sorted), each with a row from now on, locked until the transaction ends."""
    await execute(tx, _ENSURE, ids=customers)
    return {row["customer_id"]: _decoder.decode(row["state"]) for row in await fetch(tx, _LOCK, ids=customers)}


async def lock_known(tx: Tx, customers: Sequence[str]) -> None:
    """Those of the customers (sorted) who have a row, locked until the transaction ends."""
    await fetch(tx, _LOCK, ids=customers)


async def lock_free(tx: Tx, customers: Sequence[str]) -> dict[str, Customer]:
    """Those of the customers that nobody else has locked, locked."""
    return {row["customer_id"]: _decoder.decode(row["state"]) for row in await fetch(tx, _FREE, ids=customers)}


async def read(tx: Tx, customers: Sequence[str]) -> dict[str, Customer]:
    """The customers that are known."""
    return {row["customer_id"]: _decoder.decode(row["state"]) for row in await fetch(tx, _READ, ids=customers)}


async def save(
    tx: Tx, states: Mapping[str, Customer], flagged: Mapping[str, Trigger], now: datetime
) -> None:
    """Writes states of locked customers; those ``flagged`` are due for planning now."""
    if not states:
        return
    written = {customer: write_trigger(trigger) for customer, trigger in flagged.items()}
    rows = [
        (customer, _encoder.encode(state), now if customer in written else None, written.get(customer))
        for customer, state in sorted(states.items())
    ]
    ids, blobs, due, triggers = columns(rows, 4)
    await execute(tx, _SAVE, ids=ids, states=blobs, due=due, triggers=triggers, apart=APART)


async def flag(tx: Tx, flagged: Mapping[str, Trigger], now: datetime) -> None:
    """Makes locked customers due for planning."""
    if flagged:
        ids, triggers = columns([(c, write_trigger(trigger)) for c, trigger in sorted(flagged.items())], 2)
        await execute(tx, _FLAG, ids=ids, triggers=triggers, at=now)


async def flag_planned(tx: Tx, flagged: Mapping[str, Trigger], now: datetime) -> None:
    """Makes those of these locked customers due for planning who were planned before."""
    if flagged:
        ids, triggers = columns([(c, write_trigger(trigger)) for c, trigger in sorted(flagged.items())], 2)
        await execute(tx, _FLAG_PLANNED, ids=ids, triggers=triggers, at=now, apart=APART)


async def note_planned(tx: Tx, customers: Sequence[str], at: datetime) -> None:
    """Notes of these locked customers that they are planned, unless they were."""
    await execute(tx, _NOTE_PLANNED, ids=customers, at=at)


async def planned(tx: Tx, customers: Sequence[str]) -> set[str]:
    """Those of the customers who were planned before, or are to be."""
    return {row["customer_id"] for row in await fetch(tx, _PLANNED, ids=customers)}


async def flag_all(tx: Tx, trigger: Trigger, now: datetime) -> None:
    """Makes everybody due for planning who was planned before, or is to be."""
    await execute(tx, _FLAG_ALL, at=now, trigger=write_trigger(trigger))


async def take(tx: Tx, now: datetime, limit: int) -> list[tuple[str, Customer, Trigger]]:
    """Customers due for planning, locked and no longer due, sorted."""
    rows = await fetch(tx, _TAKE, now=now, limit=limit)
    return sorted(
        ((row["customer_id"], _decoder.decode(row["state"]), read_trigger(row["plan_trigger"])) for row in rows),
        key=lambda taken: taken[0],
    )


async def next_due(tx: Tx) -> datetime | None:
    """When the first customer is due for planning."""
    rows = await fetch(tx, _NEXT)
    due: datetime | None = rows[0]["at"]
    return due


async def arm(tx: Tx, at: Mapping[str, datetime]) -> None:
    """Has it looked at then, or sooner, whether the files of these locked customers are to be verified."""
    if at:
        ids, instants = columns(sorted(at.items()), 2)
        await execute(tx, _ARM, ids=ids, at=instants)


async def take_to_verify(tx: Tx, now: datetime, limit: int) -> dict[str, Customer]:
    """Customers whose files are to be looked at, locked and no longer due."""
    rows = await fetch(tx, _TAKE_TO_VERIFY, now=now, limit=limit)
    return {row["customer_id"]: _decoder.decode(row["state"]) for row in rows}


async def next_to_verify(tx: Tx) -> datetime | None:
    """When the first file is to be looked at."""
    due: datetime | None = (await fetch(tx, _NEXT_TO_VERIFY))[0]["at"]
    return due


async def everything(tx: Tx) -> Iterable[tuple[object, ...]]:
    """The facts, who answers for whom, and every state that says something, sorted: what a rebuild must give again."""
    facts = [(r["kind"], r["key"], r["version"], r["customer_id"], r["digest"].hex()) for r in await fetch(tx, _FACTS)]
    joined = [(row["customer_id"], row["survivor_id"]) for row in await fetch(tx, _JOINED)]
    empty = _encoder.encode(Customer())
    states = [(r["customer_id"], _encoder.encode(_decoder.decode(r["state"]))) for r in await fetch(tx, _ALL)]
    return [*facts, *joined, *((customer, state.decode()) for customer, state in states if state != empty)]
