"""Merges: which ids are one person, as every service keeps it for itself.

A merge is a fact {merge_id, version, from_id, into_id, active}; of each the highest version holds, in whatever order
they arrive. Facts keep the id they were published under. What is said of a person is computed over his group: all ids
that active merges lead to one survivor. So an undo has nothing to put back.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from shared.contracts.merges import CustomerMerged, Merge, MergeApplied
from shared.db import Tx, columns, execute, fetch
from shared.messaging import outbox
from shared.messaging.events import Event
from shared.messaging.outbox import UNNUMBERED, Outgoing

MERGES_V1 = """
CREATE TABLE merges (
    merge_id text PRIMARY KEY,
    version integer NOT NULL,
    from_id text NOT NULL,
    into_id text NOT NULL,
    active boolean NOT NULL,
    occurred_at timestamptz NOT NULL
);
CREATE INDEX merges_from ON merges (from_id);
CREATE INDEX merges_into ON merges (into_id);
-- Who isn't his own survivor. Made of merges, for one look-up a batch.
CREATE TABLE survivors (
    customer_id text PRIMARY KEY,
    survivor_id text NOT NULL
);
CREATE INDEX survivors_survivor ON survivors (survivor_id);
"""

# One merge or undo at a time, because two that share no id may still join one group; batches that only read groups
# share the lock, so that no group changes under a fold.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('roost.merges', 0))"
SHARED = "pg_advisory_xact_lock_shared(hashtextextended('roost.merges', 0))"
"""What ``share`` calls, for a statement that reads what no merge changes: the next one sees what merges did before."""
_SHARE = f"SELECT {SHARED}"
_SAVE = """
INSERT INTO merges AS m (merge_id, version, from_id, into_id, active, occurred_at)
SELECT * FROM unnest(CAST(:merge_ids AS text[]), CAST(:versions AS int[]), CAST(:from_ids AS text[]),
                     CAST(:into_ids AS text[]), CAST(:active AS boolean[]), CAST(:at AS timestamptz[]))
    AS new (merge_id, version, from_id, into_id, active, occurred_at)
ORDER BY merge_id
ON CONFLICT (merge_id) DO UPDATE
SET version = excluded.version, from_id = excluded.from_id, into_id = excluded.into_id, active = excluded.active,
    occurred_at = excluded.occurred_at
WHERE m.version < excluded.version
"""
# Along active merges in both directions, by the two indexes.
_CONNECTED = """
WITH RECURSIVE near (customer_id) AS (
    SELECT unnest(CAST(:customers AS text[]))
    UNION
    SELECT CASE WHEN m.from_id = near.customer_id THEN m.into_id ELSE m.from_id END
    FROM near JOIN merges AS m ON m.active AND (m.from_id = near.customer_id OR m.into_id = near.customer_id)
)
SELECT m.merge_id, m.version, m.from_id, m.into_id, m.active, m.occurred_at
FROM merges AS m WHERE m.active AND m.from_id IN (SELECT customer_id FROM near)
"""
_MEMBERS = """
SELECT customer_id, survivor_id FROM survivors
WHERE survivor_id = ANY(ARRAY(
    SELECT survivor_id FROM survivors WHERE customer_id = ANY(:customers)
    UNION SELECT unnest(CAST(:customers AS text[]))
))
ORDER BY survivor_id, customer_id
"""
_FORGET = "DELETE FROM survivors WHERE customer_id = ANY(:customers)"
_REMEMBER = """
INSERT INTO survivors (customer_id, survivor_id)
SELECT * FROM unnest(CAST(:customers AS text[]), CAST(:survivors AS text[])) ORDER BY 1
ON CONFLICT (customer_id) DO UPDATE SET survivor_id = excluded.survivor_id
"""


class MergeFact(msgspec.Struct, frozen=True):
    """A merge as it stands."""

    merge_id: str
    version: int
    from_id: str
    into_id: str
    active: bool
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Groups:
    """Which ids are one person, for the customers that were asked for and everybody in a group with them."""

    survivors: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def survivor(self, customer: str) -> str:
        """The id that answers for this one: itself, if it is in no merge."""
        return self.survivors.get(customer, customer)

    def members(self, customer: str) -> list[str]:
        """Every id of the person, sorted; the survivor is one of them."""
        survivor = self.survivor(customer)
        return sorted({survivor, *self.others.get(survivor, ())})

    def is_joined(self, customer: str) -> bool:
        """Whether the person has more than one id."""
        return bool(self.others.get(self.survivor(customer)))


async def share(tx: Tx) -> None:
    """No merge changes any group until the transaction ends: before any other lock, where no group is asked for."""
    await fetch(tx, _SHARE)


async def groups_of(tx: Tx, customers: Iterable[str]) -> Groups:
    """The groups of these customers, which no merge changes until the transaction ends."""
    wanted = sorted(set(customers))
    if not wanted:
        return Groups()
    await share(tx)
    return await _groups(tx, wanted)


async def groups_seen(tx: Tx, customers: Iterable[str]) -> Groups:
    """The groups as the transaction sees them, which may change meanwhile: for who reads all of one moment (REPEATABLE
    READ), and holds no merge up."""
    return await _groups(tx, sorted(set(customers)))


async def apply(tx: Tx, service: str, events: Sequence[Event], now: datetime) -> set[str]:
    """Keeps merges and undos as they come in, acknowledges each, and answers whose groups changed, as ``settle`` does.

    An old version is acknowledged, too: ``merge-applied`` says what was taken in.
    """
    newest: dict[str, MergeFact] = {}
    for event in events:
        fact = _fact(event.data)
        if fact.merge_id not in newest or newest[fact.merge_id].version < fact.version:
            newest[fact.merge_id] = fact
    concerned = await settle(tx, [newest[merge_id] for merge_id in sorted(newest)])
    acknowledged = [Outgoing(_applied(service, event, now), event.traceparent) for event in events]
    await outbox.append(tx, service, acknowledged, now)
    return concerned


async def hold(tx: Tx) -> None:
    """The lock of ``settle``, for who must look before he settles: no group changes under him."""
    await fetch(tx, _LOCK)


async def settle(tx: Tx, merges: Sequence[MergeFact]) -> set[str]:
    """Writes merges down, of each the highest version, and joins and parts the groups by them.

    Answers everybody who was in a group with one of their ids before, or is now: all of them are to be folded again.
    Holds the lock that ``groups_of`` shares until the transaction ends, so it comes before any other lock.
    """
    await hold(tx)
    touched = {customer for merge in merges for customer in (merge.from_id, merge.into_id)}
    before = await _groups(tx, sorted(touched))
    await _save(tx, merges)
    concerned = {member for customer in touched for member in before.members(customer)}
    edges = [msgspec.convert(dict(row), MergeFact) for row in await fetch(tx, _CONNECTED, customers=sorted(concerned))]
    concerned |= {customer for edge in edges for customer in (edge.from_id, edge.into_id)}
    await execute(tx, _FORGET, customers=sorted(concerned))
    if after := survivors(edges):
        ids, kept = columns(sorted(after.items()), 2)
        await execute(tx, _REMEMBER, customers=ids, survivors=kept)
    return concerned


def survivors(edges: Iterable[MergeFact]) -> dict[str, str]:
    """Who answers for whom, for everybody who isn't his own survivor.

    An id follows its newest merge. Merges that contradict each other, as they may while an undo is still on its way,
    are settled for the newest: one that would close a circle is left out.
    """
    into: dict[str, str] = {}
    for edge in sorted(edges, key=lambda edge: (edge.occurred_at, edge.merge_id), reverse=True):
        if edge.from_id not in into and _root(into, edge.into_id) != edge.from_id:
            into[edge.from_id] = edge.into_id
    return {customer: _root(into, customer) for customer in into}


async def _groups(tx: Tx, wanted: Sequence[str]) -> Groups:
    rows = await fetch(tx, _MEMBERS, customers=wanted)
    others: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        others[row["survivor_id"]].append(row["customer_id"])
    return Groups({row["customer_id"]: row["survivor_id"] for row in rows}, others)


async def _save(tx: Tx, merges: Sequence[MergeFact]) -> None:
    rows = [(m.merge_id, m.version, m.from_id, m.into_id, m.active, m.occurred_at) for m in merges]
    ids, versions, from_ids, into_ids, active, at = columns(rows, 6)
    await execute(
        tx, _SAVE, merge_ids=ids, versions=versions, from_ids=from_ids, into_ids=into_ids, active=active, at=at
    )


def _root(into: Mapping[str, str], customer: str) -> str:
    while customer in into:
        customer = into[customer]
    return customer


def _fact(merge: Merge) -> MergeFact:
    active = isinstance(merge, CustomerMerged)
    return MergeFact(merge.merge_id, merge.version, merge.from_id, merge.into_id, active, merge.occurred_at)


def _applied(service: str, event: Event, now: datetime) -> MergeApplied:
    merge: Merge = event.data
    return MergeApplied(
        customer_id=merge.into_id,
        sequence=UNNUMBERED,
        caused_by=event.cause,
        occurred_at=now,
        merge_id=merge.merge_id,
        version=merge.version,
        service=service,  # type: ignore[arg-type]  # one of the four, by the caller
    )
