"""Erasure as every service does it: its own tables first, then what all services have, then the answer.

What the shop's books and figures are made of stays, where a service makes them, under a random name that nothing leads
back from.
All of it is one transaction of the consumer: after a crash at any step the event comes again, and finds it done or not
begun.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

import msgspec

from shared.clock import Clock
from shared.contracts.behaviour import FeedbackReceived
from shared.contracts.erasures import PSEUDONYM, CustomerErased, ErasureCompleted
from shared.contracts.merges import CustomerUnmerged
from shared.contracts.purchases import PurchaseRecorded
from shared.contracts.topics import SERVICES, TOPICS
from shared.contracts.types import Cause
from shared.db import Tx, columns, execute, fetch
from shared.messaging import inbox, merges, outbox
from shared.messaging.erased import CODE, DETAIL, ERASED_V1, Erased
from shared.messaging.events import Event
from shared.messaging.facts import ORDER_KINDS
from shared.messaging.intake import Outcome, UseCase
from shared.messaging.outbox import UNNUMBERED, Outgoing, Waiting

ERASURES_V1 = f"""
{ERASED_V1}
CREATE TABLE erasures_applied (
    erasure_id text PRIMARY KEY,
    applied_at timestamptz NOT NULL,
    counts bytea NOT NULL
);
"""

FEEDBACK = "feedback-received"

_BEGIN = """
INSERT INTO erasures_applied (erasure_id, applied_at, counts) VALUES (:erasure, :now, '') ON CONFLICT DO NOTHING
"""
_END = "UPDATE erasures_applied SET counts = :counts WHERE erasure_id = :erasure"
_OF_KINDS = """
SELECT kind, key, version, customer_id, event_id, body FROM facts
WHERE customer_id = ANY(:ids) AND kind = ANY(:kinds) ORDER BY kind, key, version
"""
_RENAME = """
UPDATE facts AS f SET customer_id = new.customer_id, event_id = new.event_id, digest = new.digest, body = new.body
FROM unnest(CAST(:kinds AS text[]), CAST(:keys AS text[]), CAST(:versions AS int[]), CAST(:customers AS text[]),
            CAST(:events AS text[]), CAST(:digests AS bytea[]), CAST(:bodies AS bytea[]))
    AS new (kind, key, version, customer_id, event_id, digest, body)
WHERE f.kind = new.kind AND f.key = new.key AND f.version = new.version
"""
_FACTS = "DELETE FROM facts WHERE customer_id = ANY(:ids)"
# With somebody who stays: the undo of such a merge is still on its way, and will be refused for naming the erased.
_STILL_JOINED = """
SELECT merge_id, version, from_id, into_id FROM merges
WHERE active AND (from_id = ANY(:ids)) <> (into_id = ANY(:ids)) ORDER BY merge_id
"""
# Who was one person stays one in the figures.
_RENAME_SURVIVORS = """
INSERT INTO survivors (customer_id, survivor_id)
SELECT mine.name, his.name FROM survivors AS s
JOIN unnest(CAST(:ids AS text[]), CAST(:names AS text[])) AS mine (id, name) ON mine.id = s.customer_id
JOIN unnest(CAST(:ids AS text[]), CAST(:names AS text[])) AS his (id, name) ON his.id = s.survivor_id
"""
_SURVIVORS = "DELETE FROM survivors WHERE customer_id = ANY(:ids) OR survivor_id = ANY(:ids)"
_MERGES = "DELETE FROM merges WHERE from_id = ANY(:ids) OR into_id = ANY(:ids)"
_SEQUENCES = "DELETE FROM sequences WHERE customer_id = ANY(:ids)"
# Our own events are named by customer and number. By the primary key: the inbox may have millions of rows.
_INBOX = """
DELETE FROM inbox WHERE ctid = ANY(ARRAY(
    SELECT found.place
    FROM unnest(CAST(:sources AS text[])) AS s (source), unnest(CAST(:ids AS text[])) AS c (id),
        generate_series(1, 5000) AS n,
        LATERAL (SELECT i.ctid AS place FROM inbox AS i WHERE i.source = s.source AND i.id = c.id || ':' || n OFFSET 0)
            AS found))
"""
_KEYS = "DELETE FROM idempotency_keys WHERE resource_id = ANY(:ids)"
NAMES_HIM = """
EXISTS (SELECT 1 FROM unnest(CAST(:ids AS text[])) AS c (id),
                      unnest(ARRAY['customer_id', 'from_id', 'into_id']) AS f (name), unnest(ARRAY['', ' ']) AS gap
        WHERE position(convert_to('"' || f.name || '":' || gap || '"' || c.id || '"', 'UTF8') IN value) > 0)
"""
"""Whether a row's ``value`` is an event of one of these ids, or a merge with one of them."""
# The erasure itself still has to reach the others, and a tombstone the broker.
_OUTBOX = f"""
DELETE FROM outbox
WHERE topic <> 'customer-erased' AND value IS NOT NULL
  AND (key = ANY(CAST(:keys AS bytea[])) OR topic LIKE '%.dead-letter' AND {NAMES_HIM})
"""
_LETTERS = f"""
UPDATE dead_letters SET key = NULL, headers = '[]', value = convert_to('{{"letter": ' || id || '}}', 'UTF8'),
    value_sha256 = sha256(convert_to('{CODE} ' || id, 'UTF8')), code = '{CODE}', pointer = '', detail = :detail
WHERE key = ANY(CAST(:keys AS bytea[])) OR {NAMES_HIM}
"""
_SOURCES = [f"/roost/{service}" for service in SERVICES]
_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(TOPICS[name].data) for name in (*ORDER_KINDS, FEEDBACK)
}


@dataclass(frozen=True, slots=True)
class Erasure:
    """What a service's own part is given: the ids, and the random name that each one's facts are kept under."""

    erasure_id: str
    ids: list[str]
    now: datetime
    names: Mapping[str, str] = field(default_factory=dict)


Counts = dict[str, int]
Destroy = Callable[[Tx, Erasure], Awaitable[Counts]]


@dataclass(frozen=True, slots=True)
class Erasing:
    """The consumer of ``customer-erased``. ``destroy`` is the service's own part, and answers rows by table.

    ``part``: its consumer of ``customer-unmerged``. ``keeps``: kinds of facts that stay, nameless, for the figures or
    the ledger; all others go.
    """

    service: str
    erased: Erased
    clock: Clock
    destroy: Destroy
    part: UseCase
    keeps: Sequence[str] = ()

    async def apply(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Destroys, remembers the keyed hashes for ever, and answers ``erasure-completed``; once an erasure."""
        now = self.clock.now()
        await merges.hold(tx)
        known: list[Event] = []
        for event in events:
            data: CustomerErased = event.data
            if not await execute(tx, _BEGIN, erasure=data.erasure_id, now=now):
                known.append(event)
                continue
            ids = sorted(set(data.customer_ids))
            erasure = Erasure(data.erasure_id, ids, now, {id: f"{PSEUDONYM}{uuid4().hex}" for id in ids})
            await self._part_from_others(tx, erasure, event)
            await self.erased.add(tx, ids, data.erasure_id, now)
            await _regroup(tx, erasure, self.keeps)
            counts = await self.destroy(tx, erasure) | await _everywhere(tx, erasure, self.keeps)
            counts = {table: rows for table, rows in sorted(counts.items()) if rows}
            await execute(tx, _END, erasure=data.erasure_id, counts=msgspec.json.encode(counts))
            completed = self._completed(data.erasure_id, counts, now)
            await outbox.append(tx, self.service, [Outgoing(completed, event.traceparent)], now)
        await inbox.forget(tx, known)
        return Outcome(duplicates=known)

    async def _part_from_others(self, tx: Tx, erasure: Erasure, event: Event) -> None:
        undone = [
            CustomerUnmerged(
                customer_id=row["into_id"],
                sequence=UNNUMBERED,
                caused_by=event.cause,
                occurred_at=erasure.now,
                merge_id=row["merge_id"],
                version=row["version"] + 1,
                from_id=row["from_id"],
                into_id=row["into_id"],
            )
            for row in await fetch(tx, _STILL_JOINED, ids=erasure.ids)
        ]
        if undone:
            await self.part(tx, [_said(data, event, erasure) for data in undone])

    def _completed(self, erasure_id: str, counts: Counts, now: datetime) -> ErasureCompleted:
        return ErasureCompleted(
            customer_id=erasure_id,
            sequence=UNNUMBERED,
            # Not the event: its id names the customer.
            caused_by=Cause(source="/roost/profile/erasures", id=erasure_id),
            occurred_at=now,
            erasure_id=erasure_id,
            service=self.service,  # type: ignore[arg-type]  # one of the four, by the caller
            counts=counts,
        )


async def bury(tx: Tx, topic: str, erasure: Erasure) -> None:
    """Tombstones on a compacted topic: the broker forgets the last word on these customers."""
    await outbox.append_records(tx, [Waiting(topic, id.encode(), None) for id in erasure.ids], erasure.now)


async def delete(tx: Tx, tables: Sequence[str], erasure: Erasure) -> Counts:
    """Deletes the customers' rows of tables with a column ``customer_id``, in this order."""
    return {
        table: await execute(tx, f"DELETE FROM {table} WHERE customer_id = ANY(:ids)", ids=erasure.ids)
        for table in tables
    }


async def _regroup(tx: Tx, erasure: Erasure, keeps: Sequence[str]) -> None:
    """First of all: what a change of group sets off must be there to be destroyed."""
    if keeps:
        names = [erasure.names[id] for id in erasure.ids]
        await execute(tx, _RENAME_SURVIVORS, ids=erasure.ids, names=names)
    await execute(tx, _SURVIVORS, ids=erasure.ids)


async def _everywhere(tx: Tx, erasure: Erasure, keeps: Sequence[str]) -> Counts:
    ids, keys = erasure.ids, [id.encode() for id in erasure.ids]
    kept = await _rename_facts(tx, erasure, keeps)
    return {
        "facts_kept_nameless": kept,
        "facts": await execute(tx, _FACTS, ids=ids),
        "merges": await execute(tx, _MERGES, ids=ids),
        "sequences": await execute(tx, _SEQUENCES, ids=ids),
        "inbox": await execute(tx, _INBOX, ids=ids, sources=_SOURCES),
        "idempotency_keys": await execute(tx, _KEYS, ids=ids),
        "outbox": await execute(tx, _OUTBOX, ids=ids, keys=keys),
        "dead_letters": await execute(tx, _LETTERS, ids=ids, keys=keys, detail=DETAIL),
    }


async def _rename_facts(tx: Tx, erasure: Erasure, keeps: Sequence[str]) -> int:
    rows = []
    for row in await fetch(tx, _OF_KINDS, ids=erasure.ids, kinds=list(keeps)) if keeps else ():
        body = msgspec.json.encode(_nameless(_decoders[row["kind"]].decode(row["body"]), erasure))
        says_who = any(id in row["event_id"] for id in erasure.ids)
        event_id = f"{row['key']}:{row['version']}" if says_who else row["event_id"]
        name = erasure.names[row["customer_id"]]
        rows.append((row["kind"], row["key"], row["version"], name, event_id, sha256(body).digest(), body))
    if rows:
        given = ("kinds", "keys", "versions", "customers", "events", "digests", "bodies")
        await execute(tx, _RENAME, **dict(zip(given, columns(rows, 7), strict=True)))
    return len(rows)


def _said(data: CustomerUnmerged, by: Event, erasure: Erasure) -> Event:
    id = f"{erasure.erasure_id}:{data.merge_id}"
    return Event(TOPICS["customer-unmerged"], by.source, id, erasure.now, data, b"", b"", data.customer_id)


def _nameless(data: Any, erasure: Erasure) -> Any:
    """A fact with what money, goods and ratings need, and nothing that somebody wrote; that there was a referral code
    counts, which one doesn't."""
    changes: dict[str, Any] = {"customer_id": erasure.names[data.customer_id]}
    if isinstance(data, PurchaseRecorded):
        lines = tuple(msgspec.structs.replace(line, name=None) for line in data.lines)
        code = "erased" if data.referral_code else None
        changes |= {"lines": lines, "coupon_codes": (), "referral_code": code, "attributes": {}}
    if isinstance(data, FeedbackReceived):
        changes["topic"] = None
    return msgspec.structs.replace(data, **changes)
