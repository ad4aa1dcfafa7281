"""The product catalogue as the publishers, and whoever edits it over HTTP, change it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from services.profile.products import store
from services.profile.products.domain import Product
from shared.clock import Clock
from shared.contracts.behaviour import ProductChanged
from shared.contracts.types import Cause
from shared.db import Tx
from shared.messaging.events import Event
from shared.messaging.intake import Outcome

_TICK = timedelta(microseconds=1)


async def record(tx: Tx, events: Sequence[Event]) -> Outcome:
    """Keeps the newest of each product by the event's time; ties by source and id."""
    newest: dict[str, Event] = {}
    for event in events:
        known = newest.get(event.key)
        if known is None or _place(event) > _place(known):
            newest[event.key] = event
    await store.keep(tx, [(event.key, event.time, event.source, event.id, event.body) for event in newest.values()])
    return Outcome()


class NewerIsKnown(Exception):
    """What stands of a product holds from later on than now."""

    code = "newer-product-known"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Reading and editing the catalogue."""

    clock: Clock

    async def find(self, tx: Tx, sku: str) -> Product | None:
        """A product as it stands."""
        return await store.find(tx, sku)

    async def page(self, tx: Tx, category: str | None, *, after: str | None, limit: int) -> list[Product]:
        """Products in the order of their skus."""
        return await store.page(tx, category, after, limit)

    async def locked(self, tx: Tx, sku: str) -> Product | None:
        """A product that nobody else edits until the transaction ends; an event may still change it."""
        await store.lock(tx, sku)
        return await store.find(tx, sku)

    async def put(self, tx: Tx, product: ProductChanged, known: Product | None, cause: Cause) -> Product:
        """Writes what holds from now on, by the same rule as an event of this instant.

        Whoever edits has seen ``known``, so at one and the same instant he comes after it. Raises NewerIsKnown.
        """
        now = self.clock.now()
        if known is not None and known.changed_at == now:
            now += _TICK
        body = msgspec.json.encode(product, order="deterministic")
        if not await store.keep(tx, [(product.sku, now, cause.source, cause.id, body)]):
            raise NewerIsKnown(product.sku)
        return Product(product, now, known.version + 1 if known else 1)


def _place(event: Event) -> tuple[object, ...]:
    return (event.time, event.source, event.id)
