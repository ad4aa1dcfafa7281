"""Taking in what planning has to know. Consumers only fold and flag: planning itself is a job.

Each id's row is folded over the id's own facts, joined or not. A person is all his ids' rows put together where he is
planned, so that a merge and its undo have no state to put back. The survivor's row is the person's lock.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

import msgspec

from services.engagement.customers import store
from services.engagement.customers.domain import (
    Customer,
    add,
    assessed,
    bought_by_fact,
    consented,
    filed,
    fold,
    one_person,
)
from services.engagement.triggers import Trigger, by_event
from shared.clock import Clock
from shared.contracts.customers import ConsentChanged, CustomerFields
from shared.contracts.risk import CustomerAtRisk, RiskLowered
from shared.db import Tx
from shared.messaging import facts, merges
from shared.messaging.events import Event
from shared.messaging.intake import Outcome
from shared.messaging.merges import Groups

Flagged = tuple[str, Customer, Trigger]
Withdraw = Callable[[Tx, Mapping[str, Trigger], str], Awaitable[None]]
Plan = Callable[[Tx, Sequence[Flagged]], Awaitable[None]]


class Customers:
    """The use cases of the events that planning goes by.

    ``withdraw`` takes back open win-back contacts, ``plan`` plans customers at once: both in the transaction of
    the event that makes it so.
    """

    def __init__(self, clock: Clock, house: ZoneInfo, withdraw: Withdraw, plan: Plan) -> None:
        self._clock = clock
        self._house = house
        self._withdraw = withdraw
        self._plan = plan

    async def apply_orders(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Purchases, returns, cancellations, deliveries."""
        recorded = await facts.record(tx, events)
        outcome = Outcome(recorded.duplicates, recorded.conflicts)
        if not recorded.customers:
            return outcome
        groups, before = await _lock_members(tx, recorded.customers)
        after = {}
        refold = set(recorded.refold)
        for customer in recorded.plain.keys() - refold:
            known = before[customer].purchases
            for event in recorded.plain[customer]:
                order = bought_by_fact(event.data, event.source, event.id)
                if known.newest is not None and order.key <= known.newest:
                    refold.add(customer)
                    break
                known = add(known, order)
            else:
                after[customer] = known
        if refold:
            for customer, orders in (await facts.orders_of(tx, refold)).items():
                after[customer] = fold(orders)
        states = {
            customer: msgspec.structs.replace(before[customer], purchases=purchases)
            for customer, purchases in after.items()
            if purchases != before[customer].purchases
        }
        triggers = _triggers(recorded.fresh, states)
        await self._save(tx, states, triggers, groups)
        was, now = _persons(states, groups, before), _persons(states, groups, before | states)
        because = {groups.survivor(c): triggers[c] for c in triggers}
        buyers = {p: because.get(p, by_event(recorded.fresh[-1])) for p in now if _bought(was[p], now[p])}
        if buyers:
            await self._withdraw(tx, buyers, "bought")
        return outcome

    async def apply_file(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Files made and changed, consents given and withdrawn. What is loaded moves plans, and is none's reason; nor
        is a consent withdrawn."""
        groups, before, after = await _folded(tx, events)
        changed = {c for c in after if _planned_by(before[c]) != _planned_by(after[c])}
        said = [event for event in events if event.key in changed and isinstance(event.data, CustomerFields)]
        live = {event.key: by_event(event) for event in (*said, *_granted(events)) if not event.backfill}
        await self._save(tx, after, live, groups)
        loaded = {groups.survivor(event.key): by_event(event) for event in said if event.key not in live}
        await store.flag_planned(tx, loaded, self._clock.now())
        await store.arm(tx, self._to_look_at(groups, before, after))
        return Outcome()

    async def apply_forecasts(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Customers at risk get their win-back contact planned here and now, by a risk that history tells only who was
        planned before; who no longer is, loses it."""
        groups, before, after = await _folded(tx, events)
        triggers = {groups.survivor(event.key): by_event(event) for event in events}
        await self._save(tx, after, {}, groups)
        was, now = _persons(after, groups, before), _persons(after, groups, before | after)
        lowered = {p: triggers[p] for p in now if now[p].risk.band == "low" != was[p].risk.band}
        live = {groups.survivor(event.key) for event in events if not event.backfill}
        raised = [p for p in sorted(now) if _raised(was[p], now[p])]
        if lowered:
            await self._withdraw(tx, lowered, "risk-lowered")
        if raised:
            await store.note_planned(tx, [p for p in raised if p in live], self._clock.now() - store.APART)
            planned = await in_planning(tx, {p: now[p] for p in raised}, self._clock.now())
            if planned:
                await self._plan(tx, [(p, now[p], triggers[p]) for p in planned])
        return Outcome()

    def _to_look_at(
        self, groups: Groups, before: Mapping[str, Customer], after: Mapping[str, Customer]
    ) -> dict[str, datetime]:
        """Whose file's task may have to be opened or closed by these changes, and when."""
        now = self._clock.now()
        looks: dict[str, datetime] = {}
        for customer, state in after.items():
            was, at = before[customer].verify_at(self._house), state.verify_at(self._house)
            if groups.is_joined(customer) and _verified_by(before[customer]) != _verified_by(state):
                looks |= {customer: now, groups.survivor(customer): now}
            elif was != at and (was or at):
                looks[customer] = now if was or at is None else max(now, at)
        return looks

    async def _save(
        self, tx: Tx, states: Mapping[str, Customer], flagged: Mapping[str, Trigger], groups: Groups
    ) -> None:
        due = {groups.survivor(customer): trigger for customer, trigger in flagged.items()}
        await store.save(tx, states, {c: trigger for c, trigger in due.items() if c in states}, self._clock.now())
        elsewhere = {c: trigger for c, trigger in due.items() if c not in states}
        await store.flag(tx, elsewhere, self._clock.now())


async def lock(tx: Tx, customers: Sequence[str]) -> dict[str, Customer]:
    """The persons behind the customers, by the ids asked for, locked, before their contacts. In a consumer alone: it
    makes a row for whoever has none."""
    groups = await merges.groups_of(tx, customers)
    own = await store.lock(tx, sorted({groups.survivor(customer) for customer in customers}))
    persons = await _whole(tx, groups, own)
    return {customer: persons[groups.survivor(customer)] for customer in customers}


async def lock_known(tx: Tx, customer: str) -> None:
    """The person behind a customer, locked, before his contacts; of several, `lock_free`. Whoever was erased meanwhile
    is not made again."""
    groups = await merges.groups_of(tx, [customer])
    await store.lock_known(tx, [groups.survivor(customer)])


async def lock_free(tx: Tx, customers: Sequence[str]) -> tuple[Groups, dict[str, Customer]]:
    """Those of the persons behind the customers that nobody else has locked, by survivor, locked.

    A consumer locks its customers one use case after the other, so whoever waited for several would wait in a ring.
    """
    groups = await merges.groups_of(tx, customers)
    own = await store.lock_free(tx, sorted({groups.survivor(customer) for customer in customers}))
    return groups, await _whole(tx, groups, own)


async def lock_groups(tx: Tx, customers: Sequence[str]) -> tuple[Groups, dict[str, Customer]]:
    """The persons of the customers, by survivor; the row of every id made and locked."""
    groups, states = await _lock_members(tx, customers)
    return groups, _persons(customers, groups, states)


async def flag(tx: Tx, flagged: Mapping[str, Trigger], now: datetime) -> None:
    """Makes the locked persons behind the customers due for planning."""
    groups = await merges.groups_of(tx, flagged)
    await store.flag(tx, {groups.survivor(customer): trigger for customer, trigger in flagged.items()}, now)


async def flag_all(tx: Tx, trigger: Trigger, now: datetime) -> None:
    """Makes everybody due for planning, as a new policy does, but for who was only loaded."""
    await store.flag_all(tx, trigger, now)


async def in_planning(tx: Tx, persons: Mapping[str, Customer], now: datetime) -> list[str]:
    """Those of the locked persons, by survivor, who were or are to be planned under any id of theirs, and are from now
    on: the others were only loaded."""
    groups = await merges.groups_of(tx, persons)
    found = await store.planned(tx, sorted({id for person in persons for id in groups.members(person)}))
    planned = sorted({groups.survivor(id) for id in found})
    await store.note_planned(tx, planned, now - store.APART)
    return planned


async def take_flagged(tx: Tx, now: datetime, limit: int) -> list[Flagged]:
    """Persons due for planning, locked, sorted, and no longer due; none means that nobody is due any more.

    An id that another one answers for is due no longer, and nothing else: what concerns him flags the survivor.
    """
    await merges.share(tx)
    while taken := await store.take(tx, now, limit):
        groups = await merges.groups_of(tx, [customer for customer, _, _ in taken])
        own = {customer: state for customer, state, _ in taken if groups.survivor(customer) == customer}
        if own:
            persons = await _whole(tx, groups, own)
            return [(customer, persons[customer], trigger) for customer, _, trigger in taken if customer in own]
    return []


async def look_at(tx: Tx, at: Mapping[str, datetime]) -> None:
    """Has it looked at then, or sooner, whether the files of these locked customers are to be verified."""
    await store.arm(tx, at)


async def take_to_verify(tx: Tx, now: datetime, limit: int) -> dict[str, Customer | None]:
    """Ids whose files are to be looked at, locked, and no longer due; None where another id answers for one."""
    await merges.share(tx)
    taken = await store.take_to_verify(tx, now, limit)
    groups = await merges.groups_of(tx, sorted(taken))
    persons = await _whole(tx, groups, {id: state for id, state in taken.items() if groups.survivor(id) == id})
    return {id: persons.get(id) for id in sorted(taken)}


async def verifying_due(tx: Tx) -> datetime | None:
    """When a file is next to be looked at."""
    return await store.next_to_verify(tx)


async def planning_due(tx: Tx) -> datetime | None:
    """When planning is next due."""
    return await store.next_due(tx)


async def state_hash(tx: Tx) -> str:
    """SHA-256 over facts and states, sorted: the same after any order and duplication of the same events."""
    digest = sha256()
    for row in await store.everything(tx):
        digest.update(msgspec.json.encode(row) + b"\n")
    return digest.hexdigest()


async def _lock_members(tx: Tx, customers: Sequence[str]) -> tuple[Groups, dict[str, Customer]]:
    groups = await merges.groups_of(tx, customers)
    everybody = sorted({member for customer in customers for member in groups.members(customer)})
    return groups, await store.lock(tx, everybody)


async def _folded(
    tx: Tx, events: Sequence[Event]
) -> tuple[Groups, dict[str, Customer], dict[str, Customer]]:
    groups, before = await _lock_members(tx, sorted({event.key for event in events}))
    after = {event.key: before[event.key] for event in events}
    for event in events:
        after[event.key] = _after(after[event.key], event)
    return groups, before, after


async def _whole(tx: Tx, groups: Groups, own: Mapping[str, Customer]) -> dict[str, Customer]:
    """The persons whose survivors' rows these are."""
    others = [member for person in own if groups.is_joined(person) for member in groups.members(person)]
    rows = await store.read(tx, others) if others else {}
    return _persons(own, groups, {**dict.fromkeys(others, Customer()), **rows, **own})


def _persons(customers: Iterable[str], groups: Groups, states: Mapping[str, Customer]) -> dict[str, Customer]:
    """The persons behind the customers, by survivor; ``states`` has the rows of all their ids."""
    persons = {}
    for customer in customers:
        if not groups.is_joined(customer):
            persons[customer] = states[customer]
        elif (survivor := groups.survivor(customer)) not in persons:
            members = groups.members(survivor)
            persons[survivor] = one_person(survivor, {member: states[member] for member in members})
    return persons


def _raised(before: Customer, after: Customer) -> bool:
    """Whether churn has said once more that he is at risk."""
    was, now = before.risk, after.risk
    return now.episode > (was.episode if now.of == was.of else 0)


def _after(customer: Customer, event: Event) -> Customer:
    match event.data:
        case CustomerFields():
            return filed(customer, event.data, loaded=event.backfill)
        case ConsentChanged():
            return consented(customer, event.data)
        case CustomerAtRisk() | RiskLowered():
            return assessed(customer, event.data)
        case other:
            raise TypeError(f"planning doesn't read {type(other).__name__}")


def _granted(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if isinstance(event.data, ConsentChanged) and event.data.granted]


def _planned_by(customer: Customer) -> object:
    """What of the file moves a plan."""
    return msgspec.structs.replace(customer.file, sequence=0, verify_by=None)


def _verified_by(customer: Customer) -> object:
    return customer.file.verify_by, customer.file.restricted


def _bought(before: Customer, after: Customer) -> bool:
    """Whether someone who was at risk has a newer purchase now than was known."""
    last, known = after.purchases.last_at, before.purchases.last_at
    return after.risk.episode > 0 and last is not None and (known is None or last > known)


def _triggers(fresh: Sequence[Event], states: Mapping[str, Customer]) -> dict[str, Trigger]:
    """Who is to be planned, and why: loaded history plans nobody."""
    live = [event for event in fresh if not event.backfill]
    if not live:
        return {}
    triggers = {event.key: by_event(event) for event in live}
    elsewhere = by_event(live[-1])
    backfilled = {event.key for event in fresh if event.backfill} - triggers.keys()
    return {c: triggers.get(c, elsewhere) for c in states if c not in backfilled}
