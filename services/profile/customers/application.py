"""Making and changing customer files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from services.profile.customers import store
from services.profile.customers.announcements import change, registration
from services.profile.customers.contact_points import all_normalised
from services.profile.customers.domain import CustomerFile, bare_file, changed, new_file
from shared.clock import Clock
from shared.contracts.types import Cause
from shared.db import Tx
from shared.messaging import outbox
from shared.messaging.events import Event
from shared.messaging.outbox import Outgoing

SERVICE = "profile"
Fields = Mapping[str, Any]


class CustomerExists(Exception):
    """Somebody made a file of this id before."""

    code = "customer-exists"


@dataclass(frozen=True, slots=True)
class Customers:
    """The use cases of this module. ``phone_region``: the country of numbers without a country code."""

    clock: Clock
    phone_region: str

    async def meet(self, tx: Tx, events: Sequence[Event]) -> None:
        """Makes a bare file for each customer of these events who has none, and announces it."""
        first: dict[str, Event] = {}
        for event in events:
            first.setdefault(event.key, event)
        if not first:
            return
        now = self.clock.now()
        registered = [
            Outgoing(registration(bare_file(who, now), first[who].cause), first[who].traceparent)
            for who in sorted(await store.meet(tx, sorted(first), now))
        ]
        await outbox.append(tx, SERVICE, registered, now)

    async def create(
        self, tx: Tx, customer_id: str | None, fields: Fields, cause: Cause, trace: str | None = None
    ) -> CustomerFile:
        """A new file, under a generated id where none is given.

        The bare file of somebody who was met by an event is filled in. Raises CustomerExists, InvalidContactPoint.
        """
        now = self.clock.now()
        fields = self._clean(fields)
        file = new_file(customer_id or f"c_{uuid4().hex}", fields, now)
        if await store.insert(tx, file):
            await outbox.append(tx, SERVICE, [Outgoing(registration(file, cause), trace)], now)
            return file
        known = await store.find(tx, file.customer_id, lock=True)
        if known is None or not known.bare:
            raise CustomerExists(file.customer_id)
        return await self._save(tx, known, fields, cause, trace)

    async def find(self, tx: Tx, customer_id: str) -> CustomerFile | None:
        """A customer's file."""
        return await store.find(tx, customer_id)

    async def exists(self, tx: Tx, customer_id: str) -> bool:
        """Whether there is a file."""
        return await store.exists(tx, customer_id)

    async def change(
        self,
        tx: Tx,
        customer_id: str,
        edit: Callable[[CustomerFile], Fields],
        cause: Cause,
        trace: str | None = None,
    ) -> CustomerFile | None:
        """The file with the fields that ``edit`` makes of the locked one; None if there is none.

        Raises what ``edit`` raises, and InvalidContactPoint.
        """
        file = await store.find(tx, customer_id, lock=True)
        return await self._save(tx, file, self._clean(edit(file)), cause, trace) if file else None

    async def _save(
        self, tx: Tx, before: CustomerFile, fields: Fields, cause: Cause, trace: str | None
    ) -> CustomerFile:
        now = self.clock.now()
        after = changed(before, fields, now)
        if after is not before:
            await store.update(tx, after)
            if event := change(before, after, cause):
                await outbox.append(tx, SERVICE, [Outgoing(event, trace)], now)
        return after

    def _clean(self, fields: Fields) -> Fields:
        if "contact_points" not in fields:
            return fields
        return {**fields, "contact_points": all_normalised(fields["contact_points"], self.phone_region)}
