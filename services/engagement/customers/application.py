"""Taking in what planning has to know. Consumers only fold and flag: planning itself is a job."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256

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
)
from services.engagement.triggers import Trigger, by_event
from shared.clock import Clock
from shared.contracts.customers import ConsentChanged, CustomerFields
from shared.contracts.risk import CustomerAtRisk, RiskLowered
from shared.db import Tx
from shared.messaging import facts
from shared.messaging.events import Event
from shared.messaging.intake import Outcome

Flagged = tuple[str, Customer, Trigger]
Withdraw = Callable[[Tx, Mapping[str, Trigger], str], Awaitable[None]]
Plan = Callable[[Tx, Sequence[Flagged]], Awaitable[None]]


class Customers:
    """The use cases of the events that planning goes by.

    ``withdraw`` takes back open win-back contacts, ``plan`` plans customers at once: both in the transaction of
    the event that makes it so.
    """

    def __init__(self, clock: Clock, withdraw: Withdraw, plan: Plan) -> None:
        self._clock = clock
        self._withdraw = withdraw
        self._plan = plan

    async def apply_orders(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Purchases, returns, cancellations, deliveries."""
        recorded = await facts.record(tx, events)
        outcome = Outcome(recorded.duplicates, recorded.conflicts)
        if not recorded.customers:
            return outcome
        before = await store.lock(tx, recorded.customers)
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
        await store.save(tx, states, triggers, self._clock.now())
        buyers = {c: triggers.get(c, by_event(recorded.fresh[-1])) for c in states if _bought(before[c], states[c])}
        if buyers:
            await self._withdraw(tx, buyers, "bought")
        return outcome

    async def apply_file(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Files made and changed, consents given and withdrawn."""
        before, after = await self._folded(tx, events)
        changed = {
            customer: by_event(event)
            for event in events
            if _planned_by(before[customer := event.key]) != _planned_by(after[customer])
        }
        await store.save(tx, after, changed, self._clock.now())
        return Outcome()

    async def apply_forecasts(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Customers at risk get their win-back contact planned here and now; who no longer is, loses it."""
        before, after = await self._folded(tx, events)
        triggers = {event.key: by_event(event) for event in events}
        await store.save(tx, after, {}, self._clock.now())
        lowered = {c: triggers[c] for c in after if after[c].risk.band == "low" != before[c].risk.band}
        raised = [
            (c, after[c], triggers[c]) for c in sorted(after) if after[c].risk.episode > before[c].risk.episode
        ]
        if lowered:
            await self._withdraw(tx, lowered, "risk-lowered")
        if raised:
            await self._plan(tx, raised)
        return Outcome()

    async def _folded(
        self, tx: Tx, events: Sequence[Event]
    ) -> tuple[dict[str, Customer], dict[str, Customer]]:
        before = await store.lock(tx, sorted({event.key for event in events}))
        after = dict(before)
        for event in events:
            after[event.key] = _after(after[event.key], event)
        return before, after


async def lock(tx: Tx, customers: Sequence[str]) -> dict[str, Customer]:
    """The customers (sorted), locked, before their contacts. Outside a consumer: one at a time, else `lock_free`."""
    return await store.lock(tx, customers)


async def lock_free(tx: Tx, customers: Sequence[str]) -> dict[str, Customer]:
    """Those of the customers that nobody else has locked, locked.

    A consumer locks its customers one use case after the other, so whoever waited for several would wait in a ring.
    """
    return await store.lock_free(tx, customers)


async def read(tx: Tx, customers: Sequence[str]) -> dict[str, Customer]:
    """The customers that are known."""
    return await store.read(tx, customers)


async def flag(tx: Tx, flagged: Mapping[str, Trigger], now: datetime) -> None:
    """Makes locked customers due for planning."""
    await store.flag(tx, flagged, now)


async def flag_all(tx: Tx, trigger: Trigger, now: datetime) -> None:
    """Makes everybody due for planning, as a new policy does."""
    await store.flag_all(tx, trigger, now)


async def take_flagged(tx: Tx, now: datetime, limit: int) -> list[Flagged]:
    """Customers due for planning, locked, sorted, and no longer due."""
    return await store.take(tx, now, limit)


async def planning_due(tx: Tx) -> datetime | None:
    """When planning is next due."""
    return await store.next_due(tx)


async def state_hash(tx: Tx) -> str:
    """SHA-256 over facts and states, sorted: the same after any order and duplication of the same events."""
    digest = sha256()
    for row in await store.everything(tx):
        digest.update(msgspec.json.encode(row) + b"\n")
    return digest.hexdigest()


def _after(customer: Customer, event: Event) -> Customer:
    match event.data:
        case CustomerFields():
            return filed(customer, event.data)
        case ConsentChanged():
            return consented(customer, event.data)
        case CustomerAtRisk() | RiskLowered():
            return assessed(customer, event.data)
        case other:
            raise TypeError(f"planning doesn't read {type(other).__name__}")


def _planned_by(customer: Customer) -> object:
    """What of the file moves a plan."""
    return msgspec.structs.replace(customer.file, sequence=0)


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
