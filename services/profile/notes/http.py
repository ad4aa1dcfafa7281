"""The routes of notes: staff's own, closed to customers."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from services.profile import examples
from services.profile.customers.application import Customers
from services.profile.fields import CustomerInPath
from services.profile.identities.application import person
from services.profile.notes.application import Notes
from services.profile.notes.domain import MAX_TEXT, Note
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import not_found
from shared.http.routing import Router

_TEXT = "Asked for the spring tea; call when it is in."
_NOTE: dict[str, Any] = {
    "note_id": "n_7f3a",
    "customer_id": examples.CUSTOMER_ID,
    "text": _TEXT,
    "author": "staff:7",
    "written_at": "2026-11-20T08:15:00Z",
}


class NewNote(BaseModel):
    """A note as it is written."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"text": _TEXT}})

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


class NoteView(BaseModel):
    """A note. ``author`` is the subject of the token it was written with."""

    note_id: str
    customer_id: str
    text: str
    author: str
    written_at: datetime


def notes_router(notes: Notes, customers: Customers, db: Database) -> Router:
    """``GET|POST /customers/{customer_id}/notes``."""
    router = Router(tags=["notes"])

    @router.post("/customers/{customer_id}/notes", status_code=201, responses=examples.answer(_NOTE, 201))
    async def write_note(
        who: Annotated[Principal, staff_only("profile:write")],
        attempt: Annotated[Attempt, idempotency_key()],
        customer_id: CustomerInPath,
        new: NewNote,
        response: Response,
    ) -> NoteView:
        """Writes a note; it shows in the customer's story as kind `note`, to staff."""
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                note = await notes.find(tx, replay.resource_id)
            else:
                asked = await person(tx, customer_id)
                note = await notes.write(tx, asked.customer_id, new.text, who.subject)
                if note is not None:
                    await attempt.remember(tx, status=201, resource_id=note.note_id)
        if note is None:
            raise not_found()
        return _view(note)

    @router.get(
        "/customers/{customer_id}/notes", responses=examples.answer({"items": [_NOTE], "next_cursor": None})
    )
    async def read_notes(
        _: Annotated[Principal, staff_only("profile:read")], customer_id: CustomerInPath, paging: PageRequest
    ) -> Page[NoteView]:
        """The notes on a customer under all his ids, newest first."""
        after = paging.after(tuple[datetime, str])
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            if not await customers.exists(tx, asked.customer_id):
                raise not_found()
            found = await notes.page(tx, asked.ids, after=after, limit=paging.limit + 1)
        cursor = paging.next_cursor(found, lambda note: (note.written_at, note.note_id))
        return Page(items=[_view(note) for note in found[: paging.limit]], next_cursor=cursor)

    return router


def _view(note: Note) -> NoteView:
    return NoteView(
        note_id=note.note_id,
        customer_id=note.customer_id,
        text=note.text,
        author=note.author,
        written_at=note.written_at,
    )
