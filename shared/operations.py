"""What every service shows its operators: the flow that must balance, and the dead letters, with replay."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel

from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.pagination import Page, PageRequest
from shared.http.problems import ProblemError, invalid, not_found
from shared.http.routing import Router
from shared.messaging import dead_letters, flow
from shared.messaging.events import InvalidEvent
from shared.messaging.intake import Intake


class FlowRow(BaseModel):
    """What came in from a source within an hour: received = applied + duplicate + parked + dead + refused.

    ``refused``: of customers who were erased."""

    source: str
    hour: datetime
    received: int
    applied: int
    duplicate: int
    parked: int
    dead: int
    refused: int


class DeadLetterView(BaseModel):
    """A record this service could not apply; ``value`` as text, or base64 where it isn't UTF-8."""

    id: int
    topic: str
    outcome: str
    source: str
    code: str
    pointer: str
    detail: str
    key: str | None
    value: str | None
    encoding: str
    value_sha256: str
    first_seen_at: datetime
    last_seen_at: datetime
    times: int


class Replayed(BaseModel):
    """The letter was applied."""

    id: int
    outcome: str = "applied"


Operator = Annotated[Principal, staff_only("operations:read", "operations:write")]
Replayer = Annotated[Principal, staff_only("operations:write")]

_FLOW_EXAMPLE = {
    "source": "/shop/tw", "hour": "2026-11-20T08:00:00Z", "received": 12, "applied": 9, "duplicate": 2,
    "parked": 0, "dead": 1, "refused": 0,
}  # fmt: skip
_LETTER_EXAMPLE = {
    "id": 7, "topic": "purchase-recorded", "outcome": "dead", "source": "/shop/tw", "code": "contract",
    "pointer": "/data/total/amount", "detail": "TWD has 2 decimals, '1.001' has more", "key": "pos:1001",
    "value": "{…}", "encoding": "text", "value_sha256": "9f…", "first_seen_at": "2026-11-20T08:15:00Z",
    "last_seen_at": "2026-11-20T08:15:00Z", "times": 1,
}  # fmt: skip


def operations_router(service: str, db: Database, intake: Intake) -> Router:
    """``GET /flow``, ``GET /dead-letters``, ``POST /dead-letters/{id}/replay``."""
    router = Router(tags=["operations"])

    @router.get("/flow", responses=_example({"items": [_FLOW_EXAMPLE], "next_cursor": None}))
    async def read_flow(_: Operator, paging: PageRequest) -> Page[FlowRow]:
        """What came in, by source and hour, newest first. An unreadable source is ``""``."""
        async with db.transaction() as tx:
            rows = await flow.read(tx, before=paging.after(tuple[datetime, str]), limit=paging.limit + 1)
        items = [FlowRow.model_validate(row) for row in rows[: paging.limit]]
        return Page(items=items, next_cursor=paging.next_cursor(rows, lambda row: (row["hour"], row["source"])))

    @router.get("/dead-letters", responses=_example({"items": [_LETTER_EXAMPLE], "next_cursor": None}))
    async def read_dead_letters(_: Operator, paging: PageRequest, topic: str | None = None) -> Page[DeadLetterView]:
        """The letters that wait, newest first."""
        after = paging.after(tuple[int])
        async with db.transaction() as tx:
            rows = await dead_letters.waiting(
                tx, before=after[0] if after else 2**62, limit=paging.limit + 1, topic=topic
            )
        items = [DeadLetterView.model_validate(row) for row in rows[: paging.limit]]
        return Page(items=items, next_cursor=paging.next_cursor(rows, lambda row: (row["id"],)))

    @router.post(
        "/dead-letters/{id}/replay", responses=_example({"id": 7, "outcome": "applied"})
    )
    async def replay(_: Replayer, id: int) -> Replayed:
        """Applies a letter after the fault was mended. Naturally idempotent: once applied, it is gone (404)."""
        if not 0 < id < 2**63:
            raise invalid("/path/id", "An id is a positive 64-bit integer.")
        try:
            async with db.transaction() as tx:
                applied = await intake.replay(tx, id)
        except InvalidEvent as error:
            place = error.pointer or "/"
            raise ProblemError(409, "still-invalid", f"{error.code} at {place}: {error.detail}") from error
        if not applied:
            raise not_found(f"{service} has no dead letter {id} that waits.")
        intake.after_commit()
        return Replayed(id=id)

    return router


def _example(content: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": content}}}}
