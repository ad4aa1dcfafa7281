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
    KindsDiffer,
    KnownAsTwo,
    MergeView,
    NotByRule,
    Person,
    Rule,
    SamePerson,
    UnknownCustomer,
    stays_first,
)
from services.profile.purchases.application import PurchaseHistory
from shared.contracts.merges import CustomerMerged
from shared.contracts.types import Cause
from shared.db import Tx
from shared.messaging import facts, merges, outbox
from shared.messaging.erased import CustomerIsErased
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

    async def merge(
        self,
        tx: Tx,
        from_id: str,
        into_id: str,
        cause: Cause,
        trace: str | None = None,
        *,
        suggested: bool = False,
    ) -> MergeView:
        """Joins ``from_id`` to ``into_id``.

        Only survivors are joined, and only to survivors, so that neither a circle nor a second way can come about.
        Raises SamePerson, UnknownCustomer, AlreadyMerged, KindsDiffer, CustomerIsErased; where it was ``suggested``,
        KnownAsTwo.
        """
        if from_id == into_id:
            raise SamePerson
        await merges.hold(tx)
        if self.customers.erased is not None:
            await self.customers.erased.refuse(tx, [from_id, into_id])
        groups = await merges.groups_of(tx, [from_id, into_id])
        files = {file.customer_id: file for file in await self.customers.find_all(tx, [from_id, into_id])}
        for place, customer in (("from_id", from_id), ("into_id", into_id)):
            if customer not in files:
                raise UnknownCustomer(place)
            if groups.survivor(customer) != customer:
                raise AlreadyMerged(place, groups.survivor(customer))
        # Of whom events alone are known nobody has said that he is a person.
        if files[from_id].kind != files[into_id].kind and not (files[from_id].bare or files[into_id].bare):
            raise KindsDiffer
        if suggested and await store.rejected(tx, groups.members(from_id), groups.members(into_id)):
            raise KnownAsTwo
        now = self.customers.clock.now()
        return await self._settle(tx, MergeFact(f"m_{uuid4().hex}", 1, from_id, into_id, True, now), cause, trace)

    async def merge_by_rule(self, tx: Tx, pair: tuple[str, str], rule: Rule) -> MergeView | None:
        """Joins the persons of two ids who have a verified key in common; None if they are one already.

        The older file stays; of two of one age that with more orders, then that with the lower id. The caller has found
        the key while nobody's group could change (``merges.hold``). Raises NotByRule.
        """
        await merges.hold(tx)
        who = await persons(tx, pair)
        one, other = who[pair[0]], who[pair[1]]
        if one.customer_id == other.customer_id:
            return None
        if await store.rejected(tx, one.ids, other.ids):
            raise NotByRule("rejected")
        if await store.restricted(tx, [*one.ids, *other.ids]):
            raise NotByRule("restricted")
        if await store.contradicted(tx, one.ids, other.ids):
            raise NotByRule("birthdays-differ")
        sides = await store.sides(tx, [one.customer_id, other.customer_id])
        if len(sides) < 2:
            raise NotByRule("gone")
        stays, joined = stays_first(sides[0], sides[1])
        cause = Cause(source="/roost/profile/merging", id=f"version {rule.policy_version}")
        try:
            made = await self.merge(tx, joined.customer_id, stays.customer_id, cause)
        except KindsDiffer as error:
            raise NotByRule("kinds-differ") from error
        except CustomerIsErased as error:
            raise NotByRule("erased") from error
        await store.by_rule(tx, made.merge_id, rule)
        return await store.find(tx, made.merge_id)

    async def reject(self, tx: Tx, pair: tuple[str, str], by: str) -> bool:
        """Notes that these are two, whatever id they have later; False if there is no file of one of them."""
        # Nobody is erased between the look and the note.
        await merges.share(tx)
        if not all([await self.customers.exists(tx, customer) for customer in pair]):
            return False
        await store.reject(tx, pair, by, self.customers.clock.now())
        return True

    async def undo(
        self, tx: Tx, merge_id: str, cause: Cause, trace: str | None = None, *, for_good: bool = True
    ) -> MergeView | None:
        """Parts what a merge joined; None if there is no such merge. Raises AlreadyUndone.

        Whom a rule has joined and somebody parts are two ``for_good``: no rule joins them again. Not so where nobody
        has looked at them, but the key was taken back.
        """
        await merges.hold(tx)
        known = await store.find(tx, merge_id)
        if known is None:
            return None
        if not known.active:
            raise AlreadyUndone
        now = self.customers.clock.now()
        if known.rule and for_good:
            await store.reject(tx, (known.from_id, known.into_id), f"undo of {merge_id}", now)
        fact = MergeFact(merge_id, known.version + 1, known.from_id, known.into_id, False, now)
        return await self._settle(tx, fact, cause, trace)

    async def find(self, tx: Tx, merge_id: str) -> MergeView | None:
        """A merge as it stands."""
        return await store.find(tx, merge_id)

    async def apply(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Takes merges in from their own topic, as every service does: a rebuild has no other source.

        What was decided here is known, changes nothing, and is acknowledged. Whoever others are joined to has a file
        from then on, as by any event: what they bought would be nobody's until his own first one.
        """
        recorded = await facts.record(tx, events)
        if recorded.fresh:
            concerned = await merges.apply(tx, SERVICE, recorded.fresh, self.customers.clock.now())
            await self.customers.meet(tx, [one for one in recorded.fresh if isinstance(one.data, CustomerMerged)])
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
