"""Joining the ids of one person, and parting them again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from services.profile.customers.application import SERVICE, Customers
from services.profile.identities import store
from services.profile.identities.announcements import announcement
from services.profile.identities.domain import (
    AlreadyMerged,
    AlreadyUndone,
    MergeView,
    Person,
    SamePerson,
    UnknownCustomer,
)
from services.profile.purchases.application import PurchaseHistory
from shared.contracts.types import Cause
from shared.db import Tx
from shared.messaging import facts, merges, outbox
from shared.messaging.events import Event
from shared.messaging.intake import Outcome
from shared.messaging.merges import MergeFact
from shared.messaging.outbox import Outgoing


async def persons(tx: Tx, customers: Iterable[str]) -> dict[str, Person]:
    """Who is meant by each of these ids; no merge changes it until the transaction ends."""
    wanted = sorted(set(customers))
    groups = await merges.groups_of(tx, wanted)
    joined = sorted({groups.survivor(customer) for customer in wanted if groups.is_joined(customer)})
    joined_at = await store.joined_at(tx, joined) if joined else {}
    return {
        customer: Person(
            asked=customer,
            customer_id=groups.survivor(customer),
            ids=tuple(groups.members(customer)),
            joined_at=joined_at.get(groups.survivor(customer)),
        )
        for customer in wanted
    }


async def person(tx: Tx, customer_id: str) -> Person:
    """Who is meant by an id, whether or not there is a file of it."""
    return (await persons(tx, [customer_id]))[customer_id]


@dataclass(frozen=True, slots=True)
class Identities:
    """The use cases of this module."""

    customers: Customers
    history: PurchaseHistory

    async def merge(self, tx: Tx, from_id: str, into_id: str, cause: Cause, trace: str | None = None) -> MergeView:
        """Joins ``from_id`` to ``into_id``.

        Only survivors are joined, and only to survivors, so that neither a circle nor a second way can come about.
        Raises SamePerson, UnknownCustomer, AlreadyMerged.
        """
        if from_id == into_id:
            raise SamePerson
        await merges.hold(tx)
        groups = await merges.groups_of(tx, [from_id, into_id])
        for place, customer in (("from_id", from_id), ("into_id", into_id)):
            if not await self.customers.exists(tx, customer):
                raise UnknownCustomer(place)
            if groups.survivor(customer) != customer:
                raise AlreadyMerged(place, groups.survivor(customer))
        now = self.customers.clock.now()
        return await self._settle(tx, MergeFact(f"m_{uuid4().hex}", 1, from_id, into_id, True, now), cause, trace)

    async def undo(self, tx: Tx, merge_id: str, cause: Cause, trace: str | None = None) -> MergeView | None:
        """Parts what a merge joined; None if there is no such merge. Raises AlreadyUndone."""
        await merges.hold(tx)
        known = await store.find(tx, merge_id)
        if known is None:
            return None
        if not known.active:
            raise AlreadyUndone
        now = self.customers.clock.now()
        fact = MergeFact(merge_id, known.version + 1, known.from_id, known.into_id, False, now)
        return await self._settle(tx, fact, cause, trace)

    async def find(self, tx: Tx, merge_id: str) -> MergeView | None:
        """A merge as it stands."""
        return await store.find(tx, merge_id)

    async def apply(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Takes merges in from their own topic, as every service does: a rebuild has no other source.

        What was decided here is known, changes nothing, and is acknowledged.
        """
        recorded = await facts.record(tx, events)
        if recorded.fresh:
            concerned = await merges.apply(tx, SERVICE, recorded.fresh, self.customers.clock.now())
            said = [event.data for event in recorded.fresh]
            await store.keep(tx, [(data.merge_id, data.version, data.occurred_at) for data in said])
            await self.history.refold(tx, concerned)
        return Outcome(duplicates=recorded.duplicates, rejected=recorded.conflicts)

    async def acknowledge(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Notes which services took merges in."""
        said = [event.data for event in events]
        applied = [(data.merge_id, data.version, data.service, data.occurred_at) for data in said]
        await store.acknowledge(tx, applied)
        return Outcome()

    async def _settle(self, tx: Tx, fact: MergeFact, cause: Cause, trace: str | None) -> MergeView:
        concerned = await merges.settle(tx, [fact])
        await store.keep(tx, [(fact.merge_id, fact.version, fact.occurred_at)])
        await self.history.refold(tx, concerned)
        await outbox.append(tx, SERVICE, [Outgoing(announcement(fact, cause), trace)], fact.occurred_at)
        settled = await store.find(tx, fact.merge_id)
        assert settled is not None, "it was written above"
        return settled
