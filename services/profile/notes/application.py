"""Writing notes and reading them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from services.profile.customers.application import Customers
from services.profile.notes import store
from services.profile.notes.domain import Note
from shared.db import Tx


@dataclass(frozen=True, slots=True)
class Notes:
    """The use cases of this module."""

    customers: Customers

    async def write(self, tx: Tx, customer_id: str, text: str, author: str) -> Note | None:
        """Keeps a note; None if there is no such customer."""
        if not await self.customers.exists(tx, customer_id):
            return None
        note = Note(f"n_{uuid4().hex}", customer_id, text, author, self.customers.clock.now())
        await store.add(tx, note)
        return note

    async def find(self, tx: Tx, note_id: str) -> Note | None:
        """A note that was written."""
        return await store.find(tx, note_id)

    async def page(
        self, tx: Tx, ids: Sequence[str], *, after: tuple[datetime, str] | None, limit: int
    ) -> list[Note]:
        """Notes on a person's ids, newest first."""
        return await store.page(tx, ids, after=after, limit=limit)
