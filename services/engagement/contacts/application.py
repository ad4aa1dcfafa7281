"""Planning: what the pure plan wants, compared with what is written down, and the difference written and published."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from services.engagement.contacts import events, journal, store
from services.engagement.contacts.domain import Contact, Wanted
from services.engagement.contacts.gates import Decision, Gate
from services.engagement.contacts.planning import PLANNED_HERE, plan
from services.engagement.customers import application as customers
from services.engagement.customers.application import Flagged
from services.engagement.policies import application as policies
from services.engagement.tasks import application as tasks
from services.engagement.triggers import Trigger
from shared.clock import Clock
from shared.db import Database, Tx
from shared.messaging import outbox
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

    async def plan(self, tx: Tx, flagged: Sequence[Flagged]) -> None:
        """Plans locked customers now. A contact is published when it is new, or its time moved."""
        now = self._clock.now()
        rules = await policies.in_force(tx)
        known = await store.counted(tx, [customer for customer, _, _ in flagged], now - COUNTED)
        changes = _Changes()
        for customer_id, customer, trigger in flagged:
            contacts = known[customer_id]
            wanted = plan(customer, contacts, rules, now, self._house_zone)
            _compare(changes, customer_id, customer.file.owner, contacts, wanted, trigger, now)
        await store.insert(tx, changes.new, now)
        still_there = await store.move(tx, changes.moved)
        still_there |= await store.change(
            tx, [(contact.id, "cancelled", why) for contact, why, _ in changes.dropped], now, ("planned",)
        )
        known_ids = still_there | {id for id, *_ in changes.new}
        published = [event for id, event in changes.published if id in known_ids]
        await outbox.append(tx, SERVICE, published, now)

    async def withdraw(self, tx: Tx, by: Mapping[str, Trigger], reason: str) -> None:
        """Takes back the planned win-backs of locked customers, with their tasks, and publishes why."""
        now = self._clock.now()
        found = await store.planned_for(tx, sorted(by), "win-back")
        if not found:
            return
        await store.change(tx, [(s.contact.id, "cancelled", reason) for s in found], now, ("planned",))
        await tasks.close(tx, [s.contact.task_id for s in found if s.contact.task_id], "cancelled", now, outcome=reason)
        gone = [(s.contact, by[s.contact.customer_id]) for s in found]
        await journal.note(tx, [(contact, [_why_not(contact, reason, cause)]) for contact, cause in gone], now)
        await outbox.append(
            tx, SERVICE, [events.suppressed(contact, reason, cause, now) for contact, cause in gone], now
        )


def _compare(
    changes: _Changes, customer_id: str, owner: str | None, contacts: Sequence[Contact], wanted: Sequence[Wanted],
    trigger: Trigger, now: datetime,
) -> None:  # fmt: skip
    movable = {
        c.purpose: c for c in contacts if c.is_open and not c.is_fixed(now) and c.purpose in PLANNED_HERE
    }
    for want in wanted:
        stands = movable.pop(want.purpose, None)
        if stands is None:
            id = uuid4().hex
            changes.new.append((id, customer_id, want, trigger, owner))
        elif (stands.due_at, stands.episode) != (want.due_at, want.episode):
            id = stands.id
            changes.moved.append((id, want, trigger))
        else:
            continue
        if stands is None or stands.due_at != want.due_at:
            changes.published.append((id, events.planned(id, customer_id, want, want.due_at, trigger, now)))
    for contact in movable.values():
        changes.dropped.append((contact, "no-longer-wanted", trigger))
        changes.published.append((contact.id, events.suppressed(contact, "no-longer-wanted", trigger, now)))


def _why_not(contact: Contact, reason: str, by: Trigger) -> Decision:
    gate: Gate = "not-bought" if reason == "bought" else "at-risk"
    return Decision(gate, False, "win-back", contact.policy_version, f"{reason}: {by.source} {by.id}")
