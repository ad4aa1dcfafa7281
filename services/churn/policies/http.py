"""``GET|PUT /policy``: when a probability becomes a risk band."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from services.churn.openapi import answers
from services.churn.policies import application
from services.churn.policies.application import PolicyVersion
from services.churn.scoring.policy import Policy
from shared.clock import Clock
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.etags import Precondition, etag, if_match
from shared.http.routing import Router

_EXAMPLE: dict[str, Any] = {
    "horizon_days": 90, "at_risk_enter": 0.6, "at_risk_leave": 0.5, "critical_enter": 0.85, "critical_leave": 0.75,
    "publishing_step": 0.05, "min_purchases": 1, "min_silence_days": 14,
}  # fmt: skip
_VIEW_EXAMPLE: dict[str, Any] = {**_EXAMPLE, "version": 2, "created_at": "2026-11-20T08:15:00Z"}


class PolicyBody(BaseModel):
    """Thresholds on the probability of no purchase within the horizon. A band is entered at ``…_enter`` or above and
    left below ``…_leave``, so that nobody flaps in between."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    horizon_days: int = Field(ge=1, le=3650)
    at_risk_enter: float = Field(gt=0, le=1)
    at_risk_leave: float = Field(gt=0, le=1)
    critical_enter: float = Field(gt=0, le=1)
    critical_leave: float = Field(gt=0, le=1)
    publishing_step: float = Field(gt=0, le=1, description="A score that moved by so much is published again")
    min_purchases: int = Field(ge=1, le=10_000, description="Customers with fewer purchase days stay low")
    min_silence_days: int = Field(ge=0, le=3650, description="Customers who bought more recently stay low")


class PolicyView(PolicyBody):
    """The policy in force; its version is its ETag. ``created_at`` is null for the one that is shipped."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _VIEW_EXAMPLE})

    version: int
    created_at: datetime | None


def policies_router(db: Database, clock: Clock) -> Router:
    """The routes of the policy."""
    router = Router(tags=["policy"])

    @router.get("/policy", responses=answers(_VIEW_EXAMPLE))
    async def read_policy(_: Annotated[Principal, staff_only("churn:read")], response: Response) -> PolicyView:
        """The policy in force."""
        async with db.transaction() as tx:
            found = await application.current(tx)
        return _view(found, response)

    @router.put("/policy", responses=answers(_VIEW_EXAMPLE))
    async def replace_policy(
        _: Annotated[Principal, staff_only("churn:write")],
        match: Annotated[Precondition, if_match()],
        body: PolicyBody,
        response: Response,
    ) -> PolicyView:
        """A new version, in force from the next scoring on; answers read by it at once."""
        policy = Policy(**body.model_dump())
        async with db.transaction() as tx:
            made = await application.replace(tx, policy, match.require, clock.now())
        return _view(made, response)

    return router


def _view(found: PolicyVersion, response: Response) -> PolicyView:
    response.headers["ETag"] = etag(found.version)
    return PolicyView(version=found.version, created_at=found.created_at, **msgspec.structs.asdict(found.policy))
