"""Purchases, returns, cancellations and deliveries become what a customer is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from services.profile.customers.application import Customers
from services.profile.purchases import store
from services.profile.purchases.domain import House, Purchases, apply, fold
from services.profile.segments.application import note_backfill
from shared.contracts.orders import Order
from shared.db import Tx
from shared.messaging import facts
from shared.messaging.events import Event
from shared.messaging.intake import Outcome


@dataclass(frozen=True, slots=True)
class PurchaseHistory:
    """The use cases of this module."""

    customers: Customers
    house: House

    async def record(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Keeps the facts, makes files for strangers, and brings each customer's state up to date."""
        recorded = await facts.record(tx, events)
        await self.customers.meet(tx, recorded.fresh)
        await note_backfill(tx, recorded.fresh)
        if concerned := recorded.customers:
            states = await store.lock(tx, concerned)
            again = set(recorded.refold)
            changed: dict[str, Purchases] = {}
            for customer, plain in recorded.plain.items():
                if customer in again:
                    continue
                orders = [facts.order_of(event) for event in plain]
                if states[customer].precedes(orders[0]):
                    changed[customer] = self._on_top(states[customer], orders)
                else:
                    again.add(customer)
            if again:
                histories = await facts.orders_of(tx, again)
                changed |= {customer: fold(orders, self.house) for customer, orders in histories.items()}
            await store.save(tx, {who: state for who, state in changed.items() if state != states[who]})
        return Outcome(duplicates=recorded.duplicates, rejected=recorded.conflicts)

    async def page(self, tx: Tx, customer: str, *, after: tuple[datetime, str] | None, limit: int) -> list[Order]:
        """A customer's orders as they stand now, newest first."""
        return await store.page(tx, customer, after=after, limit=limit)

    def _on_top(self, state: Purchases, orders: Sequence[Order]) -> Purchases:
        return reduce(lambda folded, order: apply(folded, order, self.house), orders, state)
