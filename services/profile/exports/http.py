"""The route that gives out everything about one person."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from services.profile import examples
from services.profile.accesses.application import AccessRecord
from services.profile.customers.application import Customers
from services.profile.exports.application import ELSEWHERE, Exports
from services.profile.fields import CustomerInPath
from services.profile.identities.application import person
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires
from shared.http.problems import not_found
from shared.http.routing import Router

_AT = "2026-11-20T08:15:00Z"
_SAID = {"source": "account-page", "wording_version": "2026-1", "recorded_at": _AT}
_EXAMPLE: dict[str, Any] = {
    "schema_version": 1,
    "generated_at": _AT,
    "customer_id": examples.CUSTOMER_ID,
    "customer_ids": [examples.CUSTOMER_ID],
    "elsewhere": {service: list(routes) for service, routes in ELSEWHERE.items()},
    "files": [{"customer_id": examples.CUSTOMER_ID, "name": "Example Customer", "tags": ["tea"]}],
    "history": [{"field": "name", "value": "Example Customer", "source": "pos", "true_at": _AT, "stands": True}],
    "contact_persons": [],
    "contact_person_consents": [],
    "identifiers": [],
    "notes": [{"note_id": "n_7f3a", "text": "Asked for the spring tea.", "written_by": "staff", "written_at": _AT}],
    "consents": [{"channel": "email", "purpose": "marketing", "granted": True, **_SAID}],
    "merges": [],
    "restrictions": [],
    "orders": [],
    "events": [{"kind": "purchase-recorded", "occurred_at": _AT, "data": examples.PURCHASE}],
    "purchases": [],
    "standings": [{"customer_id": examples.CUSTOMER_ID, "points": 120, "tier": "silver"}],
    "contacts": [],
    "complaints": [{"begun_as": "feedback", "id": "web:f-1", "customer_id": examples.CUSTOMER_ID, "open": False}],
    "segments": [{"segment": "lifecycle", "class": "new", "since": _AT, "inputs": {}}],
    "segment_history": [],
    "rhythm_drops": [],
    "imports": [],
    "refused_rows": [],
    "dead_letters": [],
    "accesses": [{"at": _AT, "subject": "staff:7", "route": "GET /customers/{customer_id}", "purpose": None}],
}
Rows = list[dict[str, Any]]


class ExportView(BaseModel):
    """Everything that profile holds of a person under all his ids, a section a kind; fields may be added to rows.

    Money is in minor units. `events` are orders, returns, cancellations, deliveries, activity and feedback as they came
    in; `orders` are as they stand. `elsewhere` names the routes of the other services that hold the rest.
    """

    schema_version: int
    generated_at: datetime
    customer_id: str
    customer_ids: list[str]
    elsewhere: dict[str, list[str]]
    files: Rows
    history: Rows
    contact_persons: Rows
    contact_person_consents: Rows
    identifiers: Rows
    notes: Rows
    consents: Rows
    merges: Rows
    restrictions: Rows
    orders: Rows
    events: Rows
    purchases: Rows
    standings: Rows
    contacts: Rows
    complaints: Rows
    segments: Rows
    segment_history: Rows
    rhythm_drops: Rows
    imports: Rows
    refused_rows: Rows
    dead_letters: Rows
    accesses: Rows


def exports_router(exports: Exports, customers: Customers, record: AccessRecord, db: Database) -> Router:
    """``GET /customers/{customer_id}/export``."""
    router = Router(tags=["privacy"])
    documented = examples.answer(_EXAMPLE)
    documented[200]["model"] = ExportView

    @router.get(
        "/customers/{customer_id}/export",
        responses=documented,
        response_class=StreamingResponse,
        response_model=None,
    )
    async def export(
        who: Annotated[Principal, requires("profile:read")], customer_id: CustomerInPath
    ) -> StreamingResponse:
        """Everything about one person in one JSON document, as of one moment; a customer's own token gets his own.

        Staff's notes are part of it, and who was shown the data; to the customer himself without the names of staff.
        """
        await record.flush()
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            if not await customers.exists(tx, asked.customer_id):
                raise not_found()
        # The document is whole before its first byte goes out: whoever reads slowly holds no transaction.
        async with db.transaction() as tx:
            pieces = await exports.document(tx, asked, for_staff=who.customer_id is None)

        async def sent() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        return StreamingResponse(sent(), media_type="application/json", headers={"Cache-Control": "no-store"})

    return router
