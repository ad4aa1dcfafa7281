"""The product catalogue as the publishers, and whoever edits it over HTTP, change it."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from services.profile.products import store
from services.profile.products.domain import Product
from services.profile.products.store import Step
from shared.clock import Clock
from shared.contracts.behaviour import ProductChanged
from shared.db import Tx
from shared.messaging.envelope import write_event
from shared.messaging.events import Event
from shared.messaging.intake import Outcome
from shared.messaging.outbox import Waiting, append_records

_SOURCE = "/roost/profile"
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

    async def named(self, tx: Tx, skus: Iterable[str]) -> dict[str, ProductChanged]:
        """Those of these products that are known, by sku."""
        return {product.data.sku: product.data for product in await store.named(tx, sorted(set(skus)))}

    async def for_owners(self, tx: Tx, skus: Iterable[str]) -> list[ProductChanged]:
        """What upgrades one of these products, or belongs to one, each once."""
        found = await store.for_owners(tx, sorted(set(skus)))
        return list({product.data.sku: product.data for product in found}.values())

    async def next_step(self, tx: Tx, steps: Sequence[Step], without: Iterable[str]) -> list[ProductChanged]:
        """The cheapest product in each range of prices, leaving some out."""
        return [product.data for product in await store.next_step(tx, steps, sorted(set(without)))]

    async def locked(self, tx: Tx, sku: str) -> Product | None:
        """A product that nobody else edits until the transaction ends; an event may still change it."""
        await store.lock(tx, sku)
        return await store.find(tx, sku)

    async def put(self, tx: Tx, product: ProductChanged, known: Product | None, trace: str) -> Product:
        """Writes what holds from now on, by the same rule as an event of this instant, and publishes that event.

        Whoever edits has seen ``known``, so at one and the same instant he comes after it. When the event comes back
        its place in time is that of what stands already, so it changes nothing. Raises NewerIsKnown.
        """
        now = self.clock.now()
        if known is not None and known.changed_at == now:
            now += _TICK
        version = known.version + 1 if known else 1
        # A sku may be as long as an id.
        event_id = f"product:{hashlib.sha256(product.sku.encode()).hexdigest()[:16]}:{version}"
        body = msgspec.json.encode(product, order="deterministic")
        if not await store.keep(tx, [(product.sku, now, _SOURCE, event_id, body)]):
            raise NewerIsKnown(product.sku)
        value = write_event(product, source=_SOURCE, id=event_id, time=now)
        event = Waiting("product-changed", product.sku.encode(), value, {"traceparent": trace})
        await append_records(tx, [event], self.clock.now())
        return Product(product, now, version)


def _place(event: Event) -> tuple[object, ...]:
    return (event.time, event.source, event.id)
