"""The route by which one person's customers go to another, whoever has a role for them."""

from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from services.profile import examples
from services.profile.customers.application import Customers
from services.profile.customers.domain import Role
from services.profile.fields import Id, outgoing_trace, request_cause
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.problems import invalid
from shared.http.routing import Router
from shared.service import Wake

_HANDED: dict[str, Any] = {"from": "staff:7", "to": "staff:8", "role": "owner"}


class HandOver(BaseModel):
    """Whose customers (``from``) go to whom, in which role."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _HANDED})

    giver: Id = Field(alias="from")
    to: Id
    role: Role = "owner"


class HandedOver(BaseModel):
    """How many customers changed hands."""

    moved: int


def hand_over_router(customers: Customers, db: Database, wake: Wake) -> Router:
    """``POST /customers/hand-over``."""
    router = Router(tags=["customers"])

    @router.post("/customers/hand-over", responses=examples.answer({"moved": 120}))
    async def hand_over(
        who: Annotated[Principal, staff_only("profile:write")],
        attempt: Annotated[Attempt, idempotency_key()],
        asked: HandOver,
        response: Response,
    ) -> HandedOver:
        """Gives all customers of one person to another, 500 at a time: sent again, it goes on where it stopped."""
        if asked.giver == asked.to:
            raise invalid("/to", "Nobody hands over to himself.")
        moved = 0
        while True:
            async with db.transaction() as tx:
                replay = await attempt.claim(tx)
                if replay is not None:
                    replay.mark(response)
                    return HandedOver(moved=int(replay.resource_id))
                handed = await customers.hand_over(
                    tx, asked.role, asked.giver, asked.to, who.subject, request_cause(), outgoing_trace()
                )
                moved += handed
                if not handed:
                    await attempt.remember(tx, status=200, resource_id=str(moved))
                    return HandedOver(moved=moved)
            wake()

    return router
