"""Referral codes and referrals: all SQL that reads or writes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from services.loyalty.referrals.domain import Edge, Reason, State, Verdict
from shared.db import Row, Tx, columns, execute, fetch

_CODES_OF = "SELECT code, customer_id, created_at FROM referral_codes WHERE customer_id = ANY(:ids)"
_OWNERS = "SELECT code, customer_id FROM referral_codes WHERE code = ANY(:codes)"
_ADD_CODE = """
INSERT INTO referral_codes (code, customer_id, created_at) VALUES (:code, :customer, :now) ON CONFLICT DO NOTHING
"""
# Whoever marks rows has nothing else to wait for, or holds the accounts of whom they are about.
_AWAITED = """
UPDATE referrals SET due_at = :now WHERE order_id = ANY(ARRAY(
    SELECT order_id FROM referrals WHERE code = :code AND referrer_id IS NULL ORDER BY order_id FOR UPDATE))
"""
_OPEN = """
INSERT INTO referrals (order_id, referee_id, ordered_at, due_at)
SELECT order_id, referee_id, ordered_at, :now
FROM unnest(CAST(:orders AS text[]), CAST(:referees AS text[]), CAST(:ats AS timestamptz[]))
    AS new (order_id, referee_id, ordered_at)
ORDER BY order_id
ON CONFLICT (order_id) DO UPDATE SET due_at = excluded.due_at
"""
_MARK_REFEREES = """
UPDATE referrals SET due_at = :now WHERE order_id = ANY(ARRAY(
    SELECT order_id FROM referrals WHERE referee_id = ANY(:customers) ORDER BY order_id FOR UPDATE))
"""
# The lock on merges keeps the job away.
_MARK_PERSONS = """
UPDATE referrals SET due_at = :now
WHERE referee_id = ANY(:customers) OR referrer_id = ANY(:customers) OR verdict = 'loop'
"""
# Whoever has one locked is marking it himself.
_MARK = """
UPDATE referrals SET due_at = :now WHERE order_id = ANY(ARRAY(
    SELECT order_id FROM referrals WHERE order_id = ANY(:orders) ORDER BY order_id FOR UPDATE SKIP LOCKED))
"""
_MARK_LOOPS = """
UPDATE referrals SET due_at = :now WHERE order_id = ANY(ARRAY(
    SELECT order_id FROM referrals WHERE verdict = 'loop' AND order_id <> ALL(:orders)
    ORDER BY order_id FOR UPDATE SKIP LOCKED))
"""
_REFERRAL = (
    "order_id", "referral_id", "code", "referee_id", "referrer_id", "ordered_at", "qualifies_at", "programme_version",
    "edge", "verdict", "state", "reason", "qualified_at", "generation", "granted", "referrer_points", "referee_points",
    "due_at",
)  # fmt: skip
_LIST = ", ".join(_REFERRAL)
_DUE = f"SELECT {_LIST} FROM referrals WHERE due_at <= :now ORDER BY due_at, order_id LIMIT :limit"
_LOCK = f"SELECT {_LIST} FROM referrals WHERE order_id = ANY(:orders) ORDER BY order_id FOR UPDATE"
_NEXT_DUE = "SELECT min(due_at) AS at FROM referrals WHERE due_at IS NOT NULL"
_TYPES = (
    "text", "text", "text", "text", "text", "timestamptz", "timestamptz", "int", "boolean", "text", "text", "text",
    "timestamptz", "int", "boolean", "bigint", "bigint", "timestamptz",
)  # fmt: skip
_ARRAYS = ", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in zip(_REFERRAL, _TYPES, strict=True))
_SAVE = f"""
UPDATE referrals AS r SET {', '.join(f"{name} = new.{name}" for name in _REFERRAL[1:])}
FROM unnest({_ARRAYS}) AS new ({_LIST}) WHERE r.order_id = new.order_id
"""
_IDS = """
ANY(ARRAY(SELECT unnest(CAST(:persons AS text[]))
          UNION SELECT customer_id FROM survivors WHERE survivor_id = ANY(:persons)))
"""
_EDGES = f"""
SELECT r.order_id, r.ordered_at, coalesce(s.survivor_id, r.referee_id) AS referee,
       coalesce(t.survivor_id, r.referrer_id) AS referrer
FROM referrals AS r LEFT JOIN survivors AS s ON s.customer_id = r.referee_id
    LEFT JOIN survivors AS t ON t.customer_id = r.referrer_id
WHERE r.edge AND r.referee_id = {_IDS} ORDER BY r.ordered_at, r.order_id
"""
_LOOPS = "SELECT order_id FROM referrals WHERE order_id = ANY(:orders) AND verdict = 'loop'"
_COUNTED = f"""
SELECT r.order_id, coalesce(t.survivor_id, r.referrer_id) AS referrer, r.ordered_at, r.programme_version, r.reason
FROM referrals AS r LEFT JOIN survivors AS t ON t.customer_id = r.referrer_id
WHERE r.verdict IS NULL AND r.referral_id IS NOT NULL AND r.referrer_id = {_IDS}
"""
_OF = f"""
SELECT {_LIST} FROM referrals
WHERE (referee_id = ANY(:ids) OR referrer_id = ANY(:ids)) AND referral_id > CAST(:after AS text)
ORDER BY referral_id LIMIT :limit
"""
_COUNTS = """
SELECT state, count(*)::int AS referrals, coalesce(sum(referrer_points) FILTER (WHERE granted), 0)::bigint AS points
FROM referrals WHERE referrer_id = ANY(:ids) AND referral_id IS NOT NULL GROUP BY state
"""
# A person is new in the period where no order of his under any id is older; what was cancelled never was.
_PERIOD = """
WITH bought AS (
    SELECT coalesce(a.survivor_account_id, a.account_id) AS person, l.occurred_at
    FROM lots AS l JOIN accounts AS a USING (account_id)
    WHERE l.origin = 'order' AND l.occurred_at < :until
        AND NOT EXISTS (SELECT 1 FROM facts AS f WHERE f.kind = 'purchase-cancelled' AND f.key = l.source_id)
), first AS (
    SELECT person FROM bought GROUP BY person HAVING min(occurred_at) >= :since
)
SELECT (SELECT count(*)::int FROM first) AS new_customers,
       count(*) FILTER (WHERE state = 'pending')::int AS pending,
       count(*) FILTER (WHERE state = 'qualified')::int AS qualified,
       coalesce(sum(referrer_points + referee_points) FILTER (WHERE granted), 0)::bigint AS points
FROM referrals WHERE ordered_at >= :since AND ordered_at < :until
"""
_REFUSED = """
SELECT reason, count(*)::int AS referrals FROM referrals
WHERE ordered_at >= :since AND ordered_at < :until AND state = 'refused' GROUP BY reason ORDER BY reason
"""
_NAMES = "unnest(CAST(:ids AS text[]), CAST(:names AS text[])) AS new (id, name)"
_FORGET_CODES = "DELETE FROM referral_codes WHERE customer_id = ANY(:ids)"
_RENAME_REFEREES = f"""
UPDATE referrals SET referee_id = new.name, code = NULL FROM {_NAMES} WHERE referee_id = new.id
"""
_RENAME_REFERRERS = f"UPDATE referrals SET referrer_id = new.name FROM {_NAMES} WHERE referrer_id = new.id"


class Referral(msgspec.Struct, frozen=True):
    """A referral as it stands. ``referral_id`` is None until it was judged; points are those that were given last."""

    order_id: str
    referral_id: str | None
    code: str | None
    referee_id: str
    referrer_id: str | None
    ordered_at: datetime
    qualifies_at: datetime | None
    programme_version: int | None
    edge: bool
    verdict: Verdict | None
    state: State
    reason: Reason | None
    qualified_at: datetime | None
    generation: int
    granted: bool
    referrer_points: int
    referee_points: int
    due_at: datetime | None


async def codes_of(tx: Tx, ids: Sequence[str]) -> Sequence[Row]:
    """The codes of these ids: code, customer_id, created_at."""
    return await fetch(tx, _CODES_OF, ids=list(ids))


async def owners(tx: Tx, codes: Sequence[str]) -> dict[str, str]:
    """Whose these codes are."""
    return {row["code"]: row["customer_id"] for row in await fetch(tx, _OWNERS, codes=list(codes))}


async def add_code(tx: Tx, code: str, customer: str, now: datetime) -> None:
    """A customer's code; what came with it before it was one is to be judged anew."""
    await execute(tx, _ADD_CODE, code=code, customer=customer, now=now)
    await execute(tx, _AWAITED, code=code, now=now)


async def open_(tx: Tx, rows: Sequence[tuple[str, str, datetime]], now: datetime) -> None:
    """(order, referee, instant) of orders with codes, to be judged now."""
    orders, referees, ats = columns(sorted(rows), 3)
    await execute(tx, _OPEN, orders=orders, referees=referees, ats=ats, now=now)


async def mark_referees(tx: Tx, customers: Sequence[str], now: datetime) -> None:
    """Whose orders have changed."""
    await execute(tx, _MARK_REFEREES, customers=list(customers), now=now)


async def mark_persons(tx: Tx, customers: Sequence[str], now: datetime) -> None:
    """Who have become others; under the lock on merges alone."""
    await execute(tx, _MARK_PERSONS, customers=list(customers), now=now)


async def mark(tx: Tx, orders: Sequence[str], now: datetime) -> None:
    """Referrals that others have decided."""
    await execute(tx, _MARK, orders=sorted(orders), now=now)


async def mark_loops(tx: Tx, but: Sequence[str], now: datetime) -> None:
    """Those refused as loops but for some: a way has changed."""
    await execute(tx, _MARK_LOOPS, orders=list(but), now=now)


async def due(tx: Tx, now: datetime, limit: int) -> list[Referral]:
    """What is to be judged, the longest ago first."""
    return [_referral(row) for row in await fetch(tx, _DUE, now=now, limit=limit)]


async def lock(tx: Tx, orders: Sequence[str]) -> list[Referral]:
    """Those of these orders, ours to change."""
    return [_referral(row) for row in await fetch(tx, _LOCK, orders=list(orders))]


async def next_due(tx: Tx) -> datetime | None:
    """When the next one is to be judged."""
    at: datetime | None = (await fetch(tx, _NEXT_DUE))[0]["at"]
    return at


async def save(tx: Tx, referrals: Sequence[Referral]) -> None:
    """Writes down locked ones."""
    rows = [msgspec.structs.astuple(one) for one in sorted(referrals, key=lambda one: one.order_id)]
    await execute(tx, _SAVE, **dict(zip(_REFERRAL, columns(rows, len(_REFERRAL)), strict=True)))


async def edges(tx: Tx, persons: Sequence[str]) -> list[Edge]:
    """The first purchases of these persons that lead to others, by their order."""
    return [
        Edge(row["order_id"], row["ordered_at"], row["referee"], row["referrer"])
        for row in await fetch(tx, _EDGES, persons=list(persons))
    ]


async def loops(tx: Tx, orders: Sequence[str]) -> set[str]:
    """Those of these orders that are refused as loops."""
    return {row["order_id"] for row in await fetch(tx, _LOOPS, orders=list(orders))}


async def counted(tx: Tx, persons: Sequence[str]) -> Sequence[Row]:
    """Referrals by these persons that nothing but a limit is against: order_id, referrer, ordered_at,
    programme_version, reason."""
    return await fetch(tx, _COUNTED, persons=list(persons))


async def of(tx: Tx, ids: Sequence[str], after: str, limit: int) -> list[Referral]:
    """A person's on both sides, by their ids."""
    return [_referral(row) for row in await fetch(tx, _OF, ids=list(ids), after=after, limit=limit)]


async def counts(tx: Tx, ids: Sequence[str]) -> Sequence[Row]:
    """What a person brought: state, referrals, points that he was given for them."""
    return await fetch(tx, _COUNTS, ids=list(ids))


async def of_period(tx: Tx, since: datetime, until: datetime) -> tuple[Row, Mapping[str, int]]:
    """new_customers, pending, qualified, points; and how many were refused by reason."""
    (row,) = await fetch(tx, _PERIOD, since=since, until=until)
    refused = await fetch(tx, _REFUSED, since=since, until=until)
    return row, {one["reason"]: one["referrals"] for one in refused}


async def rename(tx: Tx, names: Mapping[str, str]) -> int:
    """Referrals of erased ids by other names, their codes gone; how many rows that were."""
    ids, given = columns(sorted(names.items()), 2)
    codes = await execute(tx, _FORGET_CODES, ids=ids)
    referees = await execute(tx, _RENAME_REFEREES, ids=ids, names=given)
    return codes + referees + await execute(tx, _RENAME_REFERRERS, ids=ids, names=given)


def _referral(row: Row) -> Referral:
    return Referral(*(row[name] for name in _REFERRAL))
