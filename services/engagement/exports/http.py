"""The route that gives out everything that engagement holds of one person."""

from datetime import datetime
from typing import Annotated, Any

from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from services.engagement.exports.store import SECTIONS
from services.engagement.openapi import answers
from shared.clock import Clock
from shared.db import Database
from shared.exports import export
from shared.http.auth import Principal, requires
from shared.http.routing import Router

_AT = "2026-11-20T08:15:00Z"
_EXAMPLE: dict[str, Any] = {
    "schema_version": 1,
    "generated_at": _AT,
    "customer_id": "pos:1001",
    "customer_ids": ["pos:1001"],
    "states": [{"customer_id": "pos:1001", "state": {"file": {"locale": "zh-TW"}}, "planned_at": _AT}],
    "contacts": [{"id": "5f0c…", "purpose": "win-back", "channel": "email", "status": "sent", "made_at": _AT}],
    "decisions": [{"contact_id": "5f0c…", "gate": "consent", "passed": True, "fact": "granted", "decided_at": _AT}],
    "tasks": [{"id": "77aa…", "kind": "complaint", "status": "done", "outcome": "done", "note": "sent a new cup"}],
    "feedback": [{"feedback_id": "c0ff…", "text": "The cup came broken.", "photos": ["https://shop.example/photo/1"]}],
    "events": [{"kind": "feedback-received", "occurred_at": _AT, "data": {"channel": "web", "kind": "complaint"}}],
    "merges": [],
    "dead_letters": [],
}
Rows = list[dict[str, Any]]


class ExportView(BaseModel):
    """Everything that engagement holds of a person under all his ids, a section a kind; fields may be added to rows.

    `states` are what planning goes by; `feedback` is what he wrote; `events` are the orders and feedback as they came
    in. Of `dead_letters`, which name him and could not be applied, staff see the words, in base64.
    """

    schema_version: int
    generated_at: datetime
    customer_id: str
    customer_ids: list[str]
    states: Rows
    contacts: Rows
    decisions: Rows
    tasks: Rows
    feedback: Rows
    events: Rows
    merges: Rows
    dead_letters: Rows


def exports_router(db: Database, clock: Clock) -> Router:
    """``GET /customers/{id}/export``."""
    router = Router(tags=["privacy"])
    documented = answers(_EXAMPLE)
    documented[200]["model"] = ExportView

    @router.get(
        "/customers/{id}/export", responses=documented, response_class=StreamingResponse, response_model=None
    )
    async def read_export(who: Annotated[Principal, requires("engagement:read")], id: str) -> StreamingResponse:
        """Everything about one person in one JSON document, as of one moment; a customer's own token gets his own.

        What staff noted on their work is part of it, to the customer himself without their names.
        """
        return await export(db, clock, SECTIONS, who, id)

    return router
