"""Taking events in over HTTP: valid ones go to their topics as they came, once."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import msgspec

from services.profile.events import store
from services.profile.events.reading import Read, Refused, read
from services.profile.events.references import POINTER, Reference, resolved
from services.profile.events.resolving import References
from shared.clock import Clock
from shared.contracts.erasures import PSEUDONYM
from shared.db import Tx
from shared.messaging import outbox
from shared.messaging.erased import CODE, Erased
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
    references: References
    erased: Erased | None = None

    async def receive(self, tx: Tx, items: Sequence[bytes], trace: str | None) -> Received:
        """Hands the valid, new events on through the outbox, keyed by their customers (products by sku).

        Same source and id with the same data is a duplicate, with other data a conflict (``id-conflict``); what an
        event says of a customer whom it refers to is the same data, whoever that is by now.
        """
        now = self.clock.now()
        read_as_sent = read(items, now, self.references.customers.phone_region)
        known_by = await self.references.without_forgotten(tx, await self._without_erased(tx, read_as_sent))
        found = await self.references.signed(tx, known_by)
        first: dict[store.Identity, int] = {}
        for index, (event, _) in found.events.items():
            first.setdefault((event.source, event.id), index)
        digests = {identity: found.events[index][0].digest for identity, index in first.items()}
        known = await store.admit(tx, digests, now)
        new = {index for identity, index in first.items() if identity not in known}
        meant = await self._meant(tx, found, new, trace)
        accepted: list[Waiting] = []
        rejected = list(found.refused)
        duplicates = 0
        headers = {"traceparent": trace} if trace else {}
        for index, (event, item) in found.events.items():
            identity = (event.source, event.id)
            reference = found.references.get(index)
            customer = event.key if reference is None or identity in known else meant.get(reference)
            if known.get(identity, digests[identity]) != event.digest:
                detail = f"{event.source} {event.id} came before with other data: a new event needs a new id"
                rejected.append(Refused(index, "id-conflict", "/id", detail))
            elif customer is None:
                rejected.append(Refused(index, "ambiguous", POINTER, "Several customers have it."))
            elif index not in new:
                duplicates += 1
            else:
                record = resolved(event, customer) if reference else item
                accepted.append(Waiting(event.topic.name, customer.encode(), record, headers))
        await outbox.append_records(tx, accepted, now)
        return Received(len(accepted), duplicates, sorted(rejected, key=lambda refused: refused.index))

    async def _without_erased(self, tx: Tx, found: Read) -> Read:
        keys = {event.key for event, _ in found.events.values() if event.topic.key == "customer_id"}
        gone = {key for key in keys if key.startswith(PSEUDONYM)}
        if self.erased is not None:
            gone |= (await self.erased.find(tx, keys)).keys()
        refused = [
            Refused(index, CODE, "/data/customer_id", "this customer was erased")
            for index, (event, _) in found.events.items()
            if event.key in gone and event.topic.key == "customer_id"
        ]
        left = found.events.keys() - {one.index for one in refused}
        kept = {index: found.events[index] for index in sorted(left)}
        return Read(kept, found.references, [*found.refused, *refused])

    async def _meant(self, tx: Tx, found: Read, new: Set[int], trace: str | None) -> dict[Reference, str | None]:
        """Whom the new events refer to. One of which nobody can tell may be sent again."""
        referring = {reference: index for index, reference in reversed(found.references.items()) if index in new}
        events = {reference: found.events[index][0] for reference, index in referring.items()}
        meant = await self.references.resolve(tx, events, trace)
        unclear = [index for index, to in found.references.items() if index in new and meant[to] is None]
        if unclear:
            told = [found.events[index][0] for index in unclear]
            await store.forget(tx, [(event.source, event.id) for event in told])
        return meant

    async def expire(self, tx: Tx, days: int) -> int:
        """Forgets what came in more than ``days`` ago."""
        return await store.expire(tx, self.clock.now(), days)
