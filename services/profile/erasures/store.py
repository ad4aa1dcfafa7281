"""Erasures and their answers; and everything of profile's that says who somebody is, to be destroyed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.profile.erasures.domain import ErasureFile
from shared.db import Row, Tx, columns, execute, fetch
from shared.messaging.erasures import Counts, Erasure, delete

OF_THE_FILE = (
    "customer_keys", "contact_points", "file_fields", "notes", "contact_persons", "contact_person_consents",
    "identifiers", "restrictions", "match_keys",
)  # fmt: skip
OF_THE_STORY = (
    "purchase_states", "standings", "contacts", "complaints", "placements", "placement_history", "rhythm_drops",
    "import_faults", "import_customers", "import_differences", "import_leftovers",
)  # fmt: skip
PAIRS = ("rejected_duplicates", "duplicate_pairs")
QUEUES = ("placement_marks", "placement_queue", "match_marks")
"""The tables of which a customer's rows are deleted; besides them those of ``shared.messaging.erasures``."""

_INSERT = """
INSERT INTO erasures (erasure_id, customer_ids, digests, reason, requested_by, entered_by, requested_at, deadline_at,
                      policy_version)
VALUES (:erasure_id, :customer_ids, :digests, :reason, :requested_by, :entered_by, :requested_at, :deadline_at,
        :policy_version)
ON CONFLICT DO NOTHING
"""
_READ = """
SELECT e.erasure_id, e.customer_ids, e.digests, e.reason, e.requested_by, e.entered_by, e.requested_at, e.deadline_at,
       e.policy_version, e.completed_at, e.receipt,
       ARRAY(SELECT CAST(to_json(a) AS text) FROM erasure_acknowledgements AS a
             WHERE a.erasure_id = e.erasure_id ORDER BY a.service) AS said
FROM erasures AS e
"""
_FIND = f"{_READ} WHERE e.erasure_id = :erasure"
_OVERDUE = "(e.completed_at IS NULL AND e.deadline_at <= :now)"
_PAGE = f"""{_READ}
WHERE (CAST(:overdue AS boolean) IS NULL OR {_OVERDUE} = :overdue)
  AND (CAST(:at AS timestamptz) IS NULL OR (e.requested_at, e.erasure_id) < (:at, :id))
ORDER BY e.requested_at DESC, e.erasure_id DESC LIMIT :limit
"""
_HOLD = "SELECT 1 FROM erasures WHERE erasure_id = ANY(:erasures) ORDER BY erasure_id FOR UPDATE"
_ACKNOWLEDGE = """
INSERT INTO erasure_acknowledgements (erasure_id, service, applied_at, counts)
SELECT erasure_id, service, at, CAST(counts AS jsonb)
FROM unnest(CAST(:erasures AS text[]), CAST(:services AS text[]), CAST(:at AS timestamptz[]), CAST(:counts AS text[]))
    AS new (erasure_id, service, at, counts)
ON CONFLICT DO NOTHING
"""
_COMPLETE = """
UPDATE erasures SET completed_at = :now, receipt = :receipt, customer_ids = '{}', reason = NULL, requested_by = NULL
WHERE erasure_id = :erasure
"""
_ALARM = f"""
WITH fresh AS (
    UPDATE erasures SET alarmed_at = :now
    WHERE completed_at IS NULL AND alarmed_at IS NULL AND deadline_at <= :now RETURNING erasure_id
)
{_READ} WHERE e.erasure_id IN (SELECT erasure_id FROM fresh) ORDER BY e.erasure_id
"""
_COUNT = f"SELECT count(*) AS overdue FROM erasures AS e WHERE {_OVERDUE}"
_NEXT = "SELECT min(deadline_at) AS at FROM erasures WHERE completed_at IS NULL AND alarmed_at IS NULL"

_KNOWN_BY = """
SELECT kind, digest FROM contact_points WHERE customer_id = ANY(:ids)
UNION SELECT kind, digest FROM identifiers WHERE customer_id = ANY(:ids)
"""
_IDENTIFIERS = "SELECT customer_id, kind, sealed FROM identifiers WHERE customer_id = ANY(:ids)"
_FORGET = """
INSERT INTO forgotten (kind, digest, erased_at)
SELECT kind, digest, :now FROM unnest(CAST(:kinds AS text[]), CAST(:digests AS bytea[])) AS new (kind, digest)
ON CONFLICT (kind, digest) DO UPDATE SET erased_at = greatest(forgotten.erased_at, excluded.erased_at)
"""
_FORGOTTEN = """
SELECT kind, digest, erased_at FROM forgotten
JOIN unnest(CAST(:kinds AS text[]), CAST(:digests AS bytea[])) AS asked (kind, digest) USING (kind, digest)
"""
_FILES = "SELECT 1 FROM customers WHERE customer_id = ANY(:ids) ORDER BY customer_id FOR UPDATE"
_CONSENTS = "SELECT erase_consents(:erasure, :now) AS entries"
# Before the orders change their name: whoever counts holds these rows first, too.
_STALE = """
INSERT INTO stale_orders (order_id)
SELECT DISTINCT coalesce(order_id, key) FROM facts
WHERE customer_id = ANY(:ids) AND kind LIKE 'purchase-%' ORDER BY 1
ON CONFLICT DO NOTHING
"""
_STANDING = """
UPDATE standing_orders AS o SET customer_id = new.name
FROM unnest(CAST(:ids AS text[]), CAST(:names AS text[])) AS new (id, name) WHERE o.customer_id = new.id
"""
_PAIRS = "DELETE FROM {} WHERE first_id = ANY(:ids) OR second_id = ANY(:ids)"
_MERGE_NOTES = """
DELETE FROM {} AS n USING merges AS m
WHERE n.merge_id = m.merge_id AND (m.from_id = ANY(:ids) OR m.into_id = ANY(:ids))
"""
# Whoever works through a queue holds what he took of it, and waits for this transaction: he finds nobody then.
_MARKS = """
DELETE FROM {0}
WHERE ctid = ANY(ARRAY(SELECT ctid FROM {0} WHERE customer_id = ANY(:ids) FOR UPDATE SKIP LOCKED))
"""


Digest = tuple[str, bytes]
"""A kind, and the digest of a value of it."""


async def known_by(tx: Tx, ids: Sequence[str]) -> list[Digest]:
    """By which addresses and identifiers these are found now."""
    return [(row["kind"], bytes(row["digest"])) for row in await fetch(tx, _KNOWN_BY, ids=list(ids))]


async def identifiers(tx: Tx, ids: Sequence[str]) -> list[tuple[str, str, bytes]]:
    """Of these customers: id, kind, the sealed value."""
    return [(row["customer_id"], row["kind"], row["sealed"]) for row in await fetch(tx, _IDENTIFIERS, ids=list(ids))]


async def forget(tx: Tx, digests: Sequence[Digest], now: datetime) -> None:
    """Keeps that whom these stood for was erased."""
    if digests:
        kinds, values = columns(digests, 2)
        await execute(tx, _FORGET, kinds=kinds, digests=values, now=now)


async def forgotten(tx: Tx, asked: Sequence[Digest]) -> dict[Digest, datetime]:
    """When somebody was erased whom each of these stood for; nothing of the others."""
    if not asked:
        return {}
    kinds, values = columns(asked, 2)
    rows = await fetch(tx, _FORGOTTEN, kinds=kinds, digests=values)
    return {(row["kind"], bytes(row["digest"])): row["erased_at"] for row in rows}


async def insert(tx: Tx, erasure: ErasureFile) -> None:
    """Keeps an erasure; one that is known stays as it is."""
    row: dict[str, Any] = msgspec.structs.asdict(erasure)
    row |= {"customer_ids": list(erasure.customer_ids), "digests": list(erasure.digests)}
    for name in ("completed_at", "receipt", "acknowledgements"):
        del row[name]
    await execute(tx, _INSERT, **row)


async def find(tx: Tx, erasure_id: str) -> ErasureFile | None:
    """An erasure with its acknowledgements."""
    rows = await fetch(tx, _FIND, erasure=erasure_id)
    return _file(rows[0]) if rows else None


async def page(
    tx: Tx, overdue: bool | None, now: datetime, after: tuple[datetime, str] | None, limit: int
) -> list[ErasureFile]:
    """Erasures, newest first."""
    at, id = after or (None, None)
    return [_file(row) for row in await fetch(tx, _PAGE, overdue=overdue, now=now, at=at, id=id, limit=limit)]


async def hold(tx: Tx, erasures: Sequence[str]) -> None:
    """Locks erasures: of two last answers at once, one comes after the other."""
    await fetch(tx, _HOLD, erasures=list(erasures))


async def acknowledge(tx: Tx, said: Sequence[tuple[str, str, datetime, dict[str, int]]]) -> None:
    """Keeps each service's first answer to an erasure, which may come before the erasure itself where topics are read
    from the beginning again."""
    rows = [(erasure, service, at, msgspec.json.encode(counts).decode()) for erasure, service, at, counts in said]
    erasures, services, at, counts = columns(rows, 4)
    await execute(tx, _ACKNOWLEDGE, erasures=erasures, services=services, at=at, counts=counts)


async def complete(tx: Tx, erasure_id: str, now: datetime, receipt: str) -> None:
    """It is done: what was kept of the person for doing it goes."""
    await execute(tx, _COMPLETE, erasure=erasure_id, now=now, receipt=receipt)


async def alarm(tx: Tx, now: datetime) -> list[ErasureFile]:
    """Those that became overdue since the last time."""
    return [_file(row) for row in await fetch(tx, _ALARM, now=now)]


async def count_overdue(tx: Tx, now: datetime) -> int:
    """How many are overdue."""
    return int((await fetch(tx, _COUNT, now=now))[0]["overdue"])


async def next_deadline(tx: Tx) -> datetime | None:
    """The earliest deadline of which no alarm has told."""
    at: datetime | None = (await fetch(tx, _NEXT))[0]["at"]
    return at


async def destroy(tx: Tx, erasure: Erasure) -> Counts:
    """Everything that says who they were; the orders as they stand get the names that their facts are kept under."""
    ids, names = erasure.ids, [erasure.names[id] for id in erasure.ids]
    await fetch(tx, _FILES, ids=ids)
    await execute(tx, _STALE, ids=ids)
    await execute(tx, _STANDING, ids=ids, names=names)
    consents = (await fetch(tx, _CONSENTS, erasure=erasure.erasure_id, now=erasure.now))[0]["entries"]
    counts = {"consents": int(consents), **await delete(tx, (*OF_THE_FILE, "customers", *OF_THE_STORY), erasure)}
    for table in PAIRS:
        counts[table] = await execute(tx, _PAIRS.format(table), ids=ids)
    for table in ("merge_versions", "merge_acknowledgements", "merge_rules"):
        counts[table] = await execute(tx, _MERGE_NOTES.format(table), ids=ids)
    for table in QUEUES:
        await execute(tx, _MARKS.format(table), ids=[*ids, *names])
    return counts


def _file(row: Row) -> ErasureFile:
    stored = dict(row)
    stored["acknowledgements"] = [msgspec.json.decode(said) for said in stored.pop("said")]
    return msgspec.convert(stored, ErasureFile)
