"""Every event beside the orders becomes an entry of a customer's story, and what it changes of his standing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.profile.customers.application import Customers
from services.profile.segments.application import note_story
from services.profile.timeline import store
from services.profile.timeline.domain import FOR_STAFF, NOTE, Entry, Standing, complaint_news, contact_news, standings
from shared.db import Tx
from shared.messaging import facts
from shared.messaging.events import Event
from shared.messaging.intake import Outcome


@dataclass(frozen=True, slots=True)
class Timeline:
    """The use cases of this module."""

    customers: Customers

    async def record(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Keeps the facts and makes files for strangers; what was new moves points, tier, risk, contacts and
        complaints."""
        recorded = await facts.record(tx, events)
        met = await self.customers.meet(tx, recorded.fresh)
        await note_story(tx, recorded.fresh, met)
        said = [event.data for event in recorded.fresh]
        added = standings(said)
        for customer, more in (await store.complain(tx, complaint_news(said))).items():
            added[customer] = msgspec.structs.replace(added.get(customer, Standing()), open_complaints=more)
        await store.add(tx, added)
        await store.tell(tx, contact_news(said))
        return Outcome(duplicates=recorded.duplicates, rejected=recorded.conflicts)

    async def page(
        self,
        tx: Tx,
        ids: Sequence[str],
        *,
        kinds: Sequence[str] | None = None,
        before: datetime | None = None,
        after: tuple[datetime, str, str] | None = None,
        limit: int,
        staff: bool = False,
    ) -> list[Entry]:
        """The story of a person's ids, newest first; order versions that a higher one replaced are not told.

        Notes are read where they stand, and told to staff alone, as is what waits for them (``FOR_STAFF``).
        """
        notes = staff and (kinds is None or NOTE in kinds)
        return await store.page(
            tx, ids, kinds=kinds, before=before, after=after, limit=limit, notes=notes,
            untold=() if staff else FOR_STAFF,
        )  # fmt: skip
