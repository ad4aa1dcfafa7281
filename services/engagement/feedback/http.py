"""``POST /feedback``: what a customer writes to us; only the fact leaves this service."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.engagement.feedback import application
from services.engagement.feedback.store import Written
from services.engagement.fields import Moment
from services.engagement.openapi import answers
from shared.clock import Clock
from shared.contracts.behaviour import FeedbackKind, FeedbackReceived
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.problems import invalid, not_found
from shared.http.routing import Router
from shared.messaging import merges
from shared.messaging.envelope import AHEAD
from shared.messaging.erased import Erased

Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$")]
Address = Annotated[str, StringConstraints(max_length=2000, pattern=r"^https?://[^\s\x00]+$")]
_BODY: dict[str, Any] = {
    "customer_id": "pos:1001", "channel": "web", "kind": "complaint", "text": "The cup came broken.", "rating": 2,
    "order_id": "pos:order-17", "photos": ["https://shop.example/photo/1"],
}  # fmt: skip
_VIEW: dict[str, Any] = {
    "feedback_id": "c0ff…", "customer_id": "pos:1001", "channel": "web", "kind": "complaint",
    "text": "The cup came broken.", "photos": ["https://shop.example/photo/1"], "occurred_at": "2026-11-20T08:15:00Z",
}  # fmt: skip


class FeedbackBody(BaseModel):
    """What was written, and what it is about."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _BODY})

    customer_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:~-]{1,64}$")]
    channel: Id
    kind: FeedbackKind
    text: Annotated[str, StringConstraints(min_length=1, max_length=10_000, pattern=r"^[^\x00]*$")]
    rating: Annotated[int, Field(ge=1, le=5)] | None = None
    topic: Id | None = None
    sku: Id | None = None
    order_id: Id | None = None
    photos: Annotated[list[Address], Field(max_length=20)] = []
    occurred_at: Moment | None = None


class FeedbackView(BaseModel):
    """What was kept."""

    model_config = ConfigDict(json_schema_extra={"example": _VIEW})

    feedback_id: str
    customer_id: str
    channel: str
    kind: FeedbackKind
    text: str
    photos: list[str]
    occurred_at: datetime


def feedback_router(db: Database, clock: Clock, wake: Callable[[], None], erased: Erased) -> Router:
    """The route of feedback."""
    router = Router(tags=["feedback"])

    @router.post("/feedback", status_code=201, responses=answers(_VIEW, 201))
    async def give_feedback(
        principal: Annotated[Principal, requires("engagement:write")],
        once: Annotated[Attempt, idempotency_key()],
        body: FeedbackBody,
        response: Response,
    ) -> FeedbackView:
        """Keeps the text here and publishes the fact; a customer's own token may."""
        now = clock.now()
        if body.occurred_at is not None and body.occurred_at - now > AHEAD:
            raise invalid("/occurred_at", "It lies more than 24 h ahead.")
        id = uuid4().hex
        async with db.transaction() as tx:
            own_or_404(principal, *(await merges.groups_of(tx, [body.customer_id])).members(body.customer_id))
            if principal.customer_id is not None and await erased.find(tx, [body.customer_id]):
                raise not_found()
            await erased.refuse(tx, [body.customer_id])
            replay = await once.claim(tx)
            if replay is not None:
                replay.mark(response)
                id = replay.resource_id
            else:
                await application.receive(tx, _fact(body, id, now), body.text, _photos(body.photos), now)
                await once.remember(tx, status=201, resource_id=id)
            kept = await application.find(tx, id)
        wake()
        if kept is None:
            raise not_found()
        return _view(kept)

    return router


def _fact(body: FeedbackBody, id: str, now: datetime) -> FeedbackReceived:
    fields: dict[str, Any] = body.model_dump(exclude={"text", "photos", "occurred_at"})
    return FeedbackReceived(feedback_id=id, occurred_at=body.occurred_at or now, **fields)


def _photos(addresses: list[str]) -> str:
    return msgspec.json.encode(addresses).decode()


def _view(kept: Written) -> FeedbackView:
    fields = msgspec.structs.asdict(kept)
    return FeedbackView.model_validate({**fields, "photos": msgspec.json.decode(kept.photos)})
