"""Planning: what the pure plan wants, compared with what is written down, and the difference written and published."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from services.engagement.contacts import events, journal, store
from services.engagement.contacts.domain import Contact, Status, Wanted
from services.engagement.contacts.gates import Decision, Gate
from services.engagement.contacts.planning import PLANNED_HERE, plan
from services.engagement.contacts.store import Stored
from services.engagement.customers import application as customers
from services.engagement.customers.application import Flagged
from services.engagement.policies import application as policies
from services.engagement.tasks import application as tasks
from services.engagement.triggers import Trigger
from shared.clock import Clock
from shared.db import Database, Tx
from shared.messaging import merges, outbox
from shared.messaging.merges import Groups
from shared.messaging.outbox import Outgoing

SERVICE = "engagement"
BATCH = 50
"""Customers in one go: planning them takes the process some 5 ms, in which nobody else is served."""
COUNTED = timedelta(days=100)
"""How far back closed contacts matter: more than a month for the caps, and the longest usual rhythm."""


@dataclass(slots=True)
class _Changes:
    new: list[tuple[str, str, Wanted, Trigger, str | None]] = field(default_factory=list)
    moved: list[tuple[str, Wanted, Trigger]] = field(default_factory=list)
    dropped: list[tuple[Contact, str, Trigger]] = field(default_factory=list)
    published: list[tuple[str, Outgoing]] = field(default_factory=list)


class Planner:
    """Plans flagged customers in batches, and takes back what an event makes pointless."""

    def __init__(self, db: Database, clock: Clock, house_zone: str, wake: Callable[[], None]) -> None:
        self._db = db
        self._clock = clock
        self._house_zone = house_zone
        self._wake = wake

    async def run(self) -> int:
        """Plans everybody who is due; answers how many."""
        done = 0
        while True:
            async with self._db.transaction() as tx:
                flagged = await customers.take_flagged(tx, self._clock.now(), BATCH)
                if flagged:
                    await self.plan(tx, flagged)
            if not flagged:
                return done
            self._wake()
            done += len(flagged)

    async def next_due(self) -> datetime | None:
        """When somebody is next due for planning."""
        async with self._db.transaction() as tx:
            return await customers.planning_due(tx)

    async def plan(self, tx: Tx, flagged: Sequence[Flagged], dropped: str = "no-longer-wanted") -> None:
        """Plans locked persons now. A contact is published when it is new, or its time moved; ``dropped`` is why those
        end that are wanted no longer."""
        now = self._clock.now()
        rules = await policies.in_force(tx)
        groups = await merges.groups_of(tx, [customer for customer, _, _ in flagged])
        known = await contacts_of(tx, groups, [customer for customer, _, _ in flagged], now)
        changes = _Changes()
        for customer_id, customer, trigger in flagged:
            contacts = known[customer_id]
            wanted = plan(customer, contacts, rules, now, self._house_zone)
            own = [contact for contact in contacts if contact.customer_id == customer_id]
            _compare(changes, customer_id, customer.file.owner, own, wanted, trigger, dropped, now)
        await store.insert(tx, changes.new, now)
        still_there = await store.move(tx, changes.moved)
        still_there |= await store.change(
            tx,
            [(contact.id, "cancelled", why) for contact, why, _ in changes.dropped],
            now,
            ("planned",),
            taken_back=True,
        )
        known_ids = still_there | {id for id, *_ in changes.new}
        published = [event for id, event in changes.published if id in known_ids]
        await outbox.append(tx, SERVICE, published, now)

    async def withdraw(self, tx: Tx, by: Mapping[str, Trigger], reason: str) -> None:
        """Takes back the planned win-backs of locked customers, with their tasks, and publishes why."""
        now = self._clock.now()
        found = await store.planned_for(tx, sorted(by), "win-back")
        why = [(s.contact, [_why_not(s.contact, reason, by[s.contact.customer_id])]) for s in found]
        await journal.note(tx, why, now)
        await self._cancel(tx, found, by, reason)
        await note_joined(tx, [s.contact for s in found])

    async def join(self, tx: Tx, by: Mapping[str, Trigger]) -> None:
        """Takes back all that is planned of locked ids that another one answers for now."""
        await self._cancel(tx, await store.planned_for(tx, sorted(by)), by, "merged", taken_back=True)

    async def part(self, tx: Tx, by: Mapping[str, Trigger]) -> None:
        """Takes back what is planned of locked persons and wasn't set by staff, and what ended for another's sake."""
        found = [s for s in await store.planned_for(tx, sorted(by)) if not s.contact.pinned]
        await self._cancel(tx, found, by, "unmerged", taken_back=True)
        await store.take_joined_back(tx, sorted(by))

    async def _cancel(
        self, tx: Tx, found: Sequence[Stored], by: Mapping[str, Trigger], reason: str, *, taken_back: bool = False
    ) -> None:
        now = self._clock.now()
        cancelled: list[tuple[str, Status, str | None]] = [(s.contact.id, "cancelled", reason) for s in found]
        await store.change(tx, cancelled, now, ("planned",), taken_back=taken_back)
        await tasks.close(tx, [s.contact.task_id for s in found if s.contact.task_id], "cancelled", now, outcome=reason)
        published = [events.suppressed(s.contact, reason, by[s.contact.customer_id], now) for s in found]
        await outbox.append(tx, SERVICE, published, now)


async def note_joined(tx: Tx, ended: Sequence[Contact]) -> None:
    """Notes which contacts ended for what is known of several ids together."""
    groups = await merges.groups_of(tx, [contact.customer_id for contact in ended])
    await store.mark_joined(tx, [contact.id for contact in ended if groups.is_joined(contact.customer_id)])


async def contacts_of(tx: Tx, groups: Groups, persons: Sequence[str], now: datetime) -> dict[str, list[Contact]]:
    """The contacts that count of each person, by survivor, under whichever of his ids they were planned."""
    members = {person: groups.members(person) for person in persons}
    found = await store.counted(tx, sorted(id for ids in members.values() for id in ids), now - COUNTED)
    return {person: [contact for id in ids for contact in found[id]] for person, ids in members.items()}


def _compare(
    changes: _Changes, customer_id: str, owner: str | None, contacts: Sequence[Contact], wanted: Sequence[Wanted],
    trigger: Trigger, dropped: str, now: datetime,
) -> None:  # fmt: skip
    movable = {
        c.purpose: c for c in contacts if c.is_open and not c.is_fixed(now) and c.purpose in PLANNED_HERE
    }
    for want in wanted:
        stands = movable.pop(want.purpose, None)
        if stands is None:
            id = uuid4().hex
            changes.new.append((id, customer_id, want, trigger, owner))
        elif (stands.due_at, stands.answers) != (want.due_at, (want.episode_of or customer_id, want.episode)):
            id = stands.id
            changes.moved.append((id, want, trigger))
        else:
            continue
        if stands is None or stands.due_at != want.due_at:
            changes.published.append((id, events.planned(id, customer_id, want, want.due_at, trigger, now)))
    for contact in movable.values():
        changes.dropped.append((contact, dropped, trigger))
        changes.published.append((contact.id, events.suppressed(contact, dropped, trigger, now)))


def _why_not(contact: Contact, reason: str, by: Trigger) -> Decision:
    gate: Gate = "not-bought" if reason == "bought" else "at-risk"
    return Decision(gate, False, "win-back", contact.policy_version, f"{reason}: {by.source} {by.id}")
