"""The use case of every order event: facts in, awards judged, the difference posted, tiers brought up to date."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.loyalty.earning import store
from services.loyalty.earning.batch import Batch, Versions, cause_of, shared_pools
from services.loyalty.earning.domain import Judgement, fold
from services.loyalty.ledger import application as ledger
from services.loyalty.ledger.application import Account
from services.loyalty.ledger.domain import Cause, Lot
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme, in_force, segments_of
from services.loyalty.segments import application as segments
from services.loyalty.segments.domain import NOWHERE
from shared.clock import Clock
from shared.contracts.orders import Order
from shared.db import Tx
from shared.messaging import facts, merges
from shared.messaging.events import Event
from shared.messaging.facts import Recorded
from shared.messaging.intake import Outcome
from shared.messaging.merges import Groups


class Judged(NamedTuple):
    """An order, the version that judged it, and how."""

    order: Order
    programme: Programme | None
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Earning:
    """Points and tiers for orders. ``zone``: of calendar months, for caps and expiry."""

    clock: Clock
    programmes: Programmes
    zone: ZoneInfo

    async def apply_orders(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Purchases, returns, cancellations, deliveries: recorded for ever, and what they change posted."""
        known = await self.programmes.known(tx)
        recorded = await facts.record(tx, events)
        if recorded.customers:
            now = self.clock.now()
            groups, accounts = await _locked(tx, recorded.customers, now)
            await Batch(tx, known, self.zone, now, accounts, groups, recorded, in_force(known, now)).apply()
        return Outcome(recorded.duplicates, recorded.conflicts)

    async def apply_segments(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Changes of segments: kept, and the orders judged anew that were placed after one that a rule asks for."""
        # A fresh system has its first version from here on: whoever posts the next one waits with the lock for nobody.
        await self.programmes.known(tx)
        await segments.hold(tx)
        await segments.keep(tx, events)
        known = await self.programmes.known(tx)
        asked = segments_of(known)
        causes: dict[str, list[Cause]] = {}
        for event in events:
            if event.data.segment in asked:
                causes.setdefault(event.data.customer_id, []).append(cause_of(event))
        if causes:
            now = self.clock.now()
            groups, accounts = await _locked(tx, sorted(causes), now)
            late = {customer for customer in causes if _is_before(causes[customer], accounts[customer].last_at)}
            persons = {groups.survivor(customer) for customer in late}
            concerned = {customer: one for customer, one in accounts.items() if groups.survivor(customer) in persons}
            if late:
                await Batch(
                    tx, known, self.zone, now, concerned, groups, Recorded(refold=late), in_force(known, now),
                    causes={customer: causes[customer] for customer in sorted(late)},
                ).apply()
        return Outcome()

    async def judgements(self, tx: Tx, customers: Sequence[str], lots: Sequence[Lot]) -> list[Judgement]:
        """How each order of a person's ids was judged: in its own id's history, by the versions that judged it."""
        return [judged.judgement for judged in await self.judged(tx, customers, lots)]

    async def judged(self, tx: Tx, customers: Sequence[str], lots: Sequence[Lot]) -> list[Judged]:
        """The same, each with its order and the version that judged it."""
        known = await self.programmes.known(tx)
        versions = Versions(known, {lot.award.source_id: lot.award.judged_with for lot in lots})
        histories = await facts.orders_of(tx, customers)
        orders_ = [order for own in histories.values() for order in own]
        pools = await shared_pools(tx, orders_, versions, self.zone, store.read)
        memberships = await segments.memberships(tx, customers, segments_of(known))
        judged = [
            Judged(order, versions(order)[0], judgement)
            for customer, orders in histories.items()
            for order, judgement in zip(
                orders, fold(orders, versions, self.zone, pools, memberships.get(customer, NOWHERE))[1], strict=True
            )
        ]
        return sorted(judged, key=lambda one: (one.judgement.award.occurred_at, one.judgement.award.source_id))

    async def would_be(
        self, tx: Tx, order: Order, lots: Sequence[Lot], draft: Programme | None = None
    ) -> Judgement:
        """How an order would be judged in its customer's history as it is now. ``lots``: his. ``draft``: the newest
        version for it alone."""
        known = await self.programmes.known(tx)
        judged_with = {lot.award.source_id: lot.award.judged_with for lot in lots}
        newest = known[-1].version
        history = (await facts.orders_of(tx, [order.customer_id]))[order.customer_id]
        versions = Versions(
            [*known, draft] if draft else known,
            {**{one.order_id: newest for one in history}, **judged_with},
        )
        orders = sorted([*history, order], key=lambda one: one.sort_key)
        pools = await shared_pools(tx, orders, versions, self.zone, store.read)
        memberships = await segments.memberships(tx, [order.customer_id], segments_of(versions.known))
        judged = fold(orders, versions, self.zone, pools, memberships.get(order.customer_id, NOWHERE))[1]
        return next(one for one in judged if one.award.source_id == order.order_id)


async def _locked(tx: Tx, customers: Sequence[str], now: datetime) -> tuple[Groups, dict[str, Account]]:
    groups = await merges.groups_of(tx, customers)
    if groups.others:
        return groups, await ledger.open_groups(tx, customers, groups, now)
    return groups, await ledger.open_accounts(tx, customers, now)


def _is_before(causes: Sequence[Cause], last_at: datetime | None) -> bool:
    return last_at is not None and min(cause.occurred_at for cause in causes) < last_at
