"""The route that gives out everything that churn holds of one person."""

from datetime import datetime
from typing import Annotated, Any

from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from services.churn.exports.application import Forecasts
from services.churn.exports.store import SECTIONS
from services.churn.openapi import answers
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
    "scores": [{"customer_id": "pos:1001", "probability": 0.612, "band": "at-risk", "scored_at": _AT}],
    "crossings": [{"customer_id": "pos:1001", "crossed_at": _AT, "from_band": "low", "to_band": "at-risk"}],
    "events": [{"kind": "purchase-recorded", "occurred_at": _AT, "data": {"order_id": "pos:88"}}],
    "merges": [],
    "dead_letters": [],
    "forecasts": [{
        "customer_id": "pos:1001", "probability": 0.614, "band": "at-risk", "horizon_days": 90,
        "reasons": [{"code": "silence", "text": "62 days since the last purchase; usual gap 18", "contribution": 0.41,
                     "facts": {"days": 62, "usual_gap": 18}}],
        "model_version": "mbg-nbd-2", "scored_at": _AT,
    }],
}  # fmt: skip
Rows = list[dict[str, Any]]


class ExportView(BaseModel):
    """Everything that churn holds of a person under all his ids, a section a kind; fields may be added to rows.

    Money is in minor units, `first_day` and `last_day` in `statistics` count days from 0001-01-01, which is 1. `scores`
    are of the last scoring, `forecasts` of now, with the reasons; `events` are orders, returns, activity and feedback
    as they came in. Of `dead_letters`, which name him and could not be applied, staff see the words, in base64.
    """

    schema_version: int
    generated_at: datetime
    customer_id: str
    customer_ids: list[str]
    scores: Rows
    crossings: Rows
    events: Rows
    merges: Rows
    dead_letters: Rows
    forecasts: Rows


def exports_router(db: Database, clock: Clock, forecasts: Forecasts) -> Router:
    """``GET /customers/{id}/export``."""
    router = Router(tags=["privacy"])
    documented = answers(_EXAMPLE)
    documented[200]["model"] = ExportView

    @router.get(
        "/customers/{id}/export", responses=documented, response_class=StreamingResponse, response_model=None
    )
    async def read_export(who: Annotated[Principal, requires("churn:read")], id: str) -> StreamingResponse:
        """Everything about one person in one JSON document, as of one moment; a customer's own token gets his own."""
        return await export(db, clock, SECTIONS, who, id, forecasts.sections)

    return router
