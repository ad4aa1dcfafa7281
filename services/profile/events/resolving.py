"""Whom a reference means: the customer who has the address or the identifier, or a new one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from services.profile.customers.application import Customers
from services.profile.customers.contact_points import ContactPoint
from services.profile.customers.domain import Saying
from services.profile.erasures.forgotten import forgotten
from services.profile.events import store
from services.profile.events.reading import Read, Refused
from services.profile.events.references import POINTER, Reference, digest
from services.profile.identifiers.application import Identifiers
from services.profile.identities.domain import Person
from services.profile.segments.application import note_loaded
from shared.db import Tx
from shared.messaging import merges
from shared.messaging.erased import CODE
from shared.messaging.events import Event


@dataclass(frozen=True, slots=True)
class References:
    """Resolves them."""

    customers: Customers
    identifiers: Identifiers

    async def signed(self, tx: Tx, found: Read) -> Read:
        """The events with digests that tell, to us alone, whom they refer to."""
        if not found.references:
            return found
        index = await self.customers.vault.index(tx)
        events = dict(found.events)
        for place, reference in found.references.items():
            event, item = events[place]
            events[place] = (msgspec.structs.replace(event, digest=digest(event, reference, index)), item)
        return Read(events, found.references, found.refused)

    async def without_forgotten(self, tx: Tx, found: Read) -> Read:
        """The events without those that refer to nobody but somebody erased since: they would make him anew."""
        if not found.references:
            return found
        # No erasure ends between this look and the one for whoever has it now.
        await merges.share(tx)
        index = await self.customers.vault.index(tx)
        wanted = {one: index.digest(one.kind, one.value) for one in set(found.references.values())}
        erased = await forgotten(tx, ((one.kind, value) for one, value in wanted.items()))
        if not erased:
            return found
        gone = {one: erased[one.kind, value] for one, value in wanted.items() if (one.kind, value) in erased}
        for somebodys in await store.holders(tx, {one: wanted[one] for one in gone}):
            del gone[somebodys]
        refused = [
            Refused(place, CODE, POINTER, "whoever had it then was erased")
            for place, one in found.references.items()
            if one in gone and found.events[place][0].time <= gone[one]
        ]
        left = found.events.keys() - {one.index for one in refused}
        return Read(
            {place: found.events[place] for place in sorted(left)},
            {place: one for place, one in found.references.items() if place in left},
            [*found.refused, *refused],
        )

    async def resolve(
        self, tx: Tx, referring: Mapping[Reference, Event], trace: str | None
    ) -> dict[Reference, str | None]:
        """The customer each means, None where it is several persons'. ``referring``: one event of each.

        An address stays with the file that has it, whoever answers for that by now: an undo then finds the event
        where it belongs. Of several files of one person the survivor is meant. Of nobody's a file is made.
        """
        if not referring:
            return {}
        index = await self.customers.vault.index(tx)
        wanted = {reference: index.digest(reference.kind, reference.value) for reference in referring}
        found = _meant(await store.holders(tx, wanted))
        if strangers := sorted(wanted.keys() - found.keys()):
            await store.alone(tx)
            found |= _meant(await store.holders(tx, {reference: wanted[reference] for reference in strangers}))
            for reference in strangers:
                if reference not in found:
                    found[reference] = await self._make(tx, reference, referring[reference], trace)
        return found

    async def _make(self, tx: Tx, reference: Reference, event: Event, trace: str | None) -> str:
        match reference.kind:
            case "phone" | "email" | "messaging":
                said = {"contact_points": (ContactPoint(reference.kind, reference.value),)}
                return await self._file(tx, said, event, trace)
            case "member-number" | "card" | "external":
                made = await self._file(tx, {}, event, trace)
                await self.identifiers.add(tx, Person(made, made, (made,)), reference.kind, reference.value)
                return made

    async def _file(self, tx: Tx, said: Mapping[str, Any], event: Event, trace: str | None) -> str:
        saying = Saying(event.source, event.time)
        file = await self.customers.create(
            tx, None, said, event.cause, trace, saying=saying, loaded=event.backfill
        )
        if event.backfill:
            await note_loaded(tx, [file.customer_id])
        return file.customer_id


def _meant(holders: Mapping[Reference, Iterable[tuple[str, str]]]) -> dict[Reference, str | None]:
    return {reference: _one(dict(had)) for reference, had in holders.items()}


def _one(survivors: Mapping[str, str]) -> str | None:
    if len(survivors) == 1:
        return next(iter(survivors))
    persons = set(survivors.values())
    return persons.pop() if len(persons) == 1 else None
