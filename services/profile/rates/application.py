"""Stating what currencies are worth, and giving each order the rate of its day, for good."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from services.profile.purchases.domain import House
from services.profile.rates import store
from services.profile.rates.domain import NO_RATES, Rate, Rates
from shared.clock import Clock
from shared.contracts.orders import Order
from shared.db import Reader, Tx


async def rates_of(tx: Tx, orders: Iterable[Order], house: House) -> Rates:
    """The rate of each of these orders that is in another currency and has one: that with which it was first counted.

    Where all are in the house's currency nothing is asked of the database.
    """
    wanted = [
        (order.order_id, order.currency, house.day(order.occurred_at))
        for order in orders
        if order.currency != house.currency
    ]
    return await store.pinned(tx, wanted) if wanted else NO_RATES


async def rate_on(reader: Reader, currency: str, day: date) -> Rate | None:
    """What a currency is worth on a day, as is stated now; nothing is pinned."""
    return await store.on(reader, currency, day)


async def forget(tx: Tx, orders: Iterable[str]) -> None:
    """Drops the rates of orders that are no more."""
    if gone := sorted(orders):
        await store.forget(tx, gone)


async def take_new(tx: Tx, limit: int) -> list[str] | None:
    """Gives some of the orders that waited for a new rate theirs, and answers which; None where no rate is new."""
    return await store.take(tx, limit)


async def any_new(tx: Tx) -> bool:
    """Whether orders may wait for a rate that was stated."""
    return await store.any_new(tx)


@dataclass(frozen=True, slots=True)
class RateBook:
    """The use cases of whoever states rates."""

    clock: Clock
    house: House

    async def page(self, tx: Tx, currency: str | None, after: tuple[str, date] | None, limit: int) -> list[Rate]:
        """What is stated, by currency and first day."""
        return await store.page(tx, currency, after, limit)

    async def versions(self, tx: Tx, currency: str, valid_from: date) -> list[Rate]:
        """All that was stated from a day on, the newest first."""
        return await store.versions(tx, currency, valid_from)

    async def state(
        self,
        tx: Tx,
        stated: Callable[[int], Rate],
        require: Callable[[int | None], None],
    ) -> Rate:
        """Writes the next version of ``stated``; the same again is no new one. Raises what ``require`` raises.

        Orders that waited for it are counted soon; those that were counted keep the version they have.
        """
        await store.hold(tx)
        rate = stated(1)
        known = await self.versions(tx, rate.currency, rate.valid_from)
        require(known[0].version if known else None)
        if known:
            before = known[0]
            if (before.valid_to, before.rate, before.source) == (rate.valid_to, rate.rate, rate.source):
                return before
            rate = stated(before.version + 1)
        await store.add(tx, rate)
        return rate
