"""Notes by customer, newest first: they stand here, and the timeline reads them here."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.profile.notes.domain import Note
from shared.db import Tx, execute, fetch

_ADD = """
INSERT INTO notes (note_id, customer_id, text, author, written_at)
VALUES (:note_id, :customer_id, :text, :author, :written_at)
"""
_FIND = "SELECT note_id, customer_id, text, author, written_at FROM notes WHERE note_id = :note"
_PAGE = """
SELECT note_id, customer_id, text, author, written_at FROM notes
WHERE customer_id = ANY(:ids)
  AND (CAST(:at AS timestamptz) IS NULL OR (written_at, note_id) < (:at, :note))
ORDER BY written_at DESC, note_id DESC LIMIT :limit
"""


async def add(tx: Tx, note: Note) -> None:
    """Keeps a note."""
    await execute(tx, _ADD, **msgspec.structs.asdict(note))


async def find(tx: Tx, note: str) -> Note | None:
    """A note."""
    rows = await fetch(tx, _FIND, note=note)
    return Note(**rows[0]) if rows else None


async def page(tx: Tx, ids: Sequence[str], *, after: tuple[datetime, str] | None, limit: int) -> list[Note]:
    """Notes on a person's ids, newest first."""
    at, note = after or (None, None)
    return [Note(**row) for row in await fetch(tx, _PAGE, ids=list(ids), at=at, note=note, limit=limit)]
