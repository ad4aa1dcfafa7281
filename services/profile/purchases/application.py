"""Purchases, returns, cancellations and deliveries become what a customer is worth."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from itertools import chain

from services.profile.customers.application import Customers
from services.profile.purchases import store
from services.profile.purchases.domain import NOTHING, House, Purchases, apply, fold
from services.profile.rates.application import rates_of
from services.profile.rates.domain import Rates
from services.profile.segments.application import note_orders
from shared.contracts.erasures import PSEUDONYM
from shared.contracts.orders import Order
from shared.db import Tx
from shared.messaging import facts, merges
from shared.messaging.events import Event
from shared.messaging.intake import Outcome
from shared.messaging.merges import Groups


@dataclass(frozen=True, slots=True)
class PurchaseHistory:
    """The use cases of this module."""

    customers: Customers
    house: House

    async def record(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Keeps the facts, makes files for strangers, and brings each customer's state up to date."""
        recorded = await facts.record(tx, events)
        await self.customers.meet(tx, recorded.fresh)
        if concerned := recorded.customers:
            groups = await merges.groups_of(tx, concerned)
            await note_orders(tx, recorded.fresh, groups)
            states = await store.lock(tx, sorted({groups.survivor(customer) for customer in concerned}))
            again = {groups.survivor(customer) for customer in recorded.refold}
            newer: dict[str, list[Order]] = {}
            for customer, plain in recorded.plain.items():
                if customer in again:
                    continue
                orders = [facts.order_of(event) for event in plain]
                if groups.is_joined(customer):
                    again.add(groups.survivor(customer))
                elif states[customer].precedes(orders[0]):
                    newer[customer] = orders
                else:
                    again.add(customer)
            rates = await rates_of(tx, chain.from_iterable(newer.values()), self.house)
            changed = {who: self._on_top(states[who], orders, rates) for who, orders in newer.items()}
            changed |= await self._folded(tx, groups, again)
            await store.save(tx, {who: state for who, state in changed.items() if state != states[who]})
        return Outcome(duplicates=recorded.duplicates, rejected=recorded.conflicts)

    async def refold(self, tx: Tx, customers: Iterable[str]) -> None:
        """Folds these again after their groups changed: a survivor over everybody in his, another over nothing."""
        wanted = set(customers)
        groups = await merges.groups_of(tx, wanted)
        # Whoever was erased since he was looked up has no state, and his orders are nobody's.
        gone = await self.customers.erased.find(tx, wanted) if self.customers.erased else {}
        concerned = sorted(who for who in wanted if who not in gone and not who.startswith(PSEUDONYM))
        states = await store.lock(tx, concerned)
        folded = await self._folded(tx, groups, {groups.survivor(customer) for customer in concerned})
        changed = {who: folded.get(who, NOTHING) for who in concerned}
        await store.save(tx, {who: state for who, state in changed.items() if state != states[who]})

    async def page(
        self, tx: Tx, ids: Sequence[str], *, after: tuple[datetime, str] | None, limit: int
    ) -> tuple[list[Order], Rates]:
        """The orders of a person's ids as they stand now, newest first, and the rates of those that have one."""
        orders = await store.page(tx, ids, after=after, limit=limit)
        return orders, await rates_of(tx, orders, self.house)

    async def _folded(self, tx: Tx, groups: Groups, survivors: Iterable[str]) -> dict[str, Purchases]:
        members = {survivor: groups.members(survivor) for survivor in survivors}
        histories = await facts.orders_of(tx, chain.from_iterable(members.values()))
        rates = await rates_of(tx, chain.from_iterable(histories.values()), self.house)
        orders = {
            who: sorted(chain.from_iterable(histories[member] for member in ids), key=lambda order: order.sort_key)
            for who, ids in members.items()
        }
        return {who: fold(found, self.house, rates) for who, found in orders.items()}

    def _on_top(self, state: Purchases, orders: Sequence[Order], rates: Rates) -> Purchases:
        return reduce(lambda folded, order: apply(folded, order, self.house, rates), orders, state)
