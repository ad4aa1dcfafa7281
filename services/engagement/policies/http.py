"""``GET|PUT /policies/{name}``: every PUT makes another version, which nobody can change."""

from datetime import datetime
from typing import Annotated, Any, Literal

import asyncpg
import msgspec
from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict

from services.engagement.openapi import answers
from services.engagement.policies import application
from services.engagement.policies.application import PolicyVersion
from shared.clock import Clock
from shared.db import Database, Tx, is_transient
from shared.http.auth import Principal, staff_only
from shared.http.etags import Precondition, etag, if_match
from shared.http.problems import invalid, not_found
from shared.http.routing import Router

PolicyName = Literal["cadence", "caps", "quiet-hours", "win-back", "welcome", "channels", "complaints"]
_ATTEMPTS = 4
_POLICY: dict[str, Any] = {"per_day": 1, "per_week": 2, "exempt": ["service"]}
_EXAMPLE: dict[str, Any] = {
    "name": "caps", "version": 2, "policy": _POLICY, "created_at": "2026-11-20T08:15:00Z", "created_by": "staff-7",
}  # fmt: skip


class PolicyBody(BaseModel):
    """A policy's fields; what GET shows beside them is ignored."""

    model_config = ConfigDict(json_schema_extra={"example": {"policy": _POLICY}})

    policy: dict[str, Any]


class PolicyView(BaseModel):
    """A version of a policy; the newest one's version is the ETag."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    name: PolicyName
    version: int
    policy: dict[str, Any]
    created_at: datetime
    created_by: str


def policies_router(db: Database, clock: Clock) -> Router:
    """The routes of the policies."""
    router = Router(tags=["policies"])

    @router.get("/policies/{name}", responses=answers(_EXAMPLE))
    async def read_policy(
        _: Annotated[Principal, staff_only("engagement:read", "engagement:write")],
        name: PolicyName,
        response: Response,
        version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    ) -> PolicyView:
        """The policy in force, or one of its versions."""
        async with db.transaction() as tx:
            found = await application.find(tx, name, version)
        if found is None:
            raise not_found(f"The policy {name} has no version {version}.")
        return _view(found, response)

    @router.put("/policies/{name}", responses=answers(_EXAMPLE))
    async def revise_policy(
        principal: Annotated[Principal, staff_only("engagement:write")],
        match: Annotated[Precondition, if_match()],
        name: PolicyName,
        body: PolicyBody,
        response: Response,
    ) -> PolicyView:
        """The next version, in force at once: everybody is planned again."""
        for attempt in range(_ATTEMPTS):
            try:
                async with db.transaction() as tx:
                    made = await _revised(tx, name, match, body, principal)
                return _view(made, response)
            # Everybody is flagged: consumers at work may make that a deadlock.
            except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if attempt + 1 == _ATTEMPTS or not is_transient(error):
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _revised(
        tx: Tx, name: PolicyName, match: Precondition, body: PolicyBody, principal: Principal
    ) -> PolicyVersion:
        newest = await application.lock(tx, name)
        match.require(newest.version if newest else None)
        following = newest.version if newest else 0
        try:
            await application.revise(tx, name, following, body.policy, clock.now(), principal.subject)
        except msgspec.ValidationError as error:
            raise _problem(error) from error
        made = await application.find(tx, name)
        if made is None:
            raise not_found()
        return made

    return router


def _view(found: PolicyVersion, response: Response) -> PolicyView:
    response.headers["ETag"] = etag(found.version)
    return PolicyView(**msgspec.structs.asdict(found))


def _problem(error: msgspec.ValidationError) -> Exception:
    message, _, path = str(error).partition(" - at `$")
    pointer = path.rstrip("`").replace("[", ".").replace("]", "").replace(".", "/")
    return invalid(f"/policy{pointer}", message, code="invalid-policy")
