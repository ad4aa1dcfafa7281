"""Taking events in over HTTP: valid ones go to their topics as they came, once."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from services.profile.events import store
from services.profile.events.reading import Refused, read
from shared.clock import Clock
from shared.db import Tx
from shared.messaging import outbox
from shared.messaging.events import Event
from shared.messaging.outbox import Waiting


class Received(msgspec.Struct, frozen=True):
    """What became of a request's events."""

    accepted: int
    duplicates: int
    rejected: list[Refused]


@dataclass(frozen=True, slots=True)
class Events:
    """The use cases of this module."""

    clock: Clock

    async def receive(self, tx: Tx, items: Sequence[bytes], trace: str | None) -> Received:
        """Hands the valid, new events on through the outbox, keyed by their customers (products by sku).

        Same source and id with the same data is a duplicate, with other data a conflict (``id-conflict``).
        """
        now = self.clock.now()
        found = read(items, now)
        first: dict[store.Identity, Event] = {}
        for event, _ in found.events.values():
            first.setdefault((event.source, event.id), event)
        known = await store.admit(tx, {identity: event.digest for identity, event in first.items()}, now)
        accepted: list[Waiting] = []
        rejected = list(found.refused)
        duplicates = 0
        headers = {"traceparent": trace} if trace else {}
        for index, (event, item) in found.events.items():
            identity = (event.source, event.id)
            if identity not in known and first[identity] is event:
                accepted.append(Waiting(event.topic.name, event.key.encode(), item, headers))
            elif known.get(identity, first[identity].digest) == event.digest:
                duplicates += 1
            else:
                detail = f"{event.source} {event.id} came before with other data: a new event needs a new id"
                rejected.append(Refused(index, "id-conflict", "/id", detail))
        await outbox.append_records(tx, accepted, now)
        return Received(len(accepted), duplicates, sorted(rejected, key=lambda refused: refused.index))

    async def expire(self, tx: Tx, days: int) -> int:
        """Forgets what came in more than ``days`` ago."""
        return await store.expire(tx, self.clock.now(), days)
