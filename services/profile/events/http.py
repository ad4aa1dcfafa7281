"""``POST /events``: the way in for publishers without a Kafka client."""

from typing import Annotated, Any

from pydantic import BaseModel
from starlette.requests import Request

from services.profile import examples
from services.profile.events.application import Events, Received
from services.profile.events.reading import MAX_EVENTS, MalformedBatch, split
from services.profile.fields import outgoing_trace
from services.profile.identifiers.domain import Taken
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.problems import PROBLEMS, FieldError, ProblemError, invalid
from shared.http.routing import Router
from shared.service import Wake

CONTENT_TYPES = (
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/json",
)
_CONFLICT = "id-conflict"
_AMBIGUOUS = "ambiguous"
_REJECTED = {"index": 1, "code": "contract", "pointer": "/data/total/amount", "detail": "TWD has 2 decimals"}

_REFERRING = {name: value for name, value in examples.PURCHASE.items() if name != "customer_id"} | {
    "customer_ref": {"kind": "member-number", "value": "M-1001"}
}


class RejectedView(BaseModel):
    """An event of the batch that is not accepted; ``pointer`` is a place in that event."""

    index: int
    code: str
    pointer: str
    detail: str


class ReceivedView(BaseModel):
    """accepted + duplicates + rejected is the number of events sent."""

    accepted: int
    duplicates: int
    rejected: list[RejectedView]


def _request_body() -> dict[str, Any]:
    single = {"schema": {"type": "object"}, "example": examples.EVENT}
    referring = examples.EVENT | {"data": _REFERRING}
    batch = {
        "schema": {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": MAX_EVENTS},
        "example": [examples.EVENT],
    }
    either = {
        "schema": {"oneOf": [single["schema"], batch["schema"]]},
        "examples": {
            "one": {"value": examples.EVENT},
            "referring": {"value": referring},
            "batch": {"value": [examples.EVENT]},
        },
    }
    return {"required": True, "content": dict(zip(CONTENT_TYPES, (single, batch, either), strict=True))}


def events_router(events: Events, db: Database, wake: Wake) -> Router:
    """``POST /events``."""
    router = Router(tags=["events"])

    @router.post(
        "/events",
        status_code=202,
        responses={
            **{status: PROBLEMS[status] for status in (400, 409, 413, 415, 422)},
            **examples.answer({"accepted": 1, "duplicates": 0, "rejected": [_REJECTED]}, 202),
        },
        openapi_extra={"requestBody": _request_body()},
    )
    async def receive(
        _: Annotated[Principal, staff_only("events:write", "profile:write")], request: Request
    ) -> ReceivedView:
        """Takes CloudEvents in: one, or a batch of up to 1,000 that is answered item by item.

        A single event that is refused answers 422, or 409 where its source and id came before with other data; a
        batch answers 202 with the refused among ``rejected``. Source and id are the key: no Idempotency-Key.

        `data.customer_ref` {kind, value} may stand in place of `data.customer_id`: an e-mail, a phone, a messenger, a
        card, a member number or an external id, as `POST /lookups` takes it. The customer who has it is meant, or a
        new one; where several have it the event is refused (409 `ambiguous`). The value reaches no topic.
        """
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in CONTENT_TYPES:
            raise ProblemError(415, "unsupported-media-type", f"Send {', '.join(CONTENT_TYPES)}.")
        try:
            items, is_batch = split(await request.body(), content_type)
        except MalformedBatch as error:
            raise ProblemError(400, error.code, str(error)) from error
        if not 1 <= len(items) <= MAX_EVENTS:
            raise invalid("", f"A batch has 1 to {MAX_EVENTS} events.", code="batch-size")
        try:
            received = await receive_all(items)
        except Taken:
            # Somebody gave the number of a stranger to another customer meanwhile: he is meant now.
            received = await receive_all(items)
        if received.accepted:
            wake()
        if received.rejected and not is_batch:
            raise _refusal(received)
        return _view(received)

    async def receive_all(items: list[bytes]) -> Received:
        async with db.transaction() as tx:
            return await events.receive(tx, items, outgoing_trace())

    return router


def _refusal(received: Received) -> ProblemError:
    refused = received.rejected[0]
    status = {_CONFLICT: 409, _AMBIGUOUS: 409, "invalid-json": 400}.get(refused.code, 422)
    errors = [FieldError(pointer=refused.pointer, message=refused.detail)]
    return ProblemError(status, refused.code, refused.detail, errors=errors)


def _view(received: Received) -> ReceivedView:
    rejected = [
        RejectedView(index=one.index, code=one.code, pointer=one.pointer, detail=one.detail)
        for one in received.rejected
    ]
    return ReceivedView(accepted=received.accepted, duplicates=received.duplicates, rejected=rejected)
