"""The routes of erasure."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Body, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.profile import examples
from services.profile.erasures.application import Erasures
from services.profile.erasures.domain import ErasureFile, Policy
from services.profile.fields import CustomerInPath, Id, IdInPath, outgoing_trace, request_cause
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.etags import Precondition, etag, if_match
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import not_found
from shared.http.routing import Router
from shared.service import Wake

_ASKED = {"reason": "the person's wish", "requested_by": "ticket:4711"}
_POLICY = {"version": 1, "deadline_days": 15}
_ETAG = examples.etag("the policy")
_RUNNING: dict[str, Any] = {
    "id": "e_7f3a",
    "state": "running",
    "customer_ids": [examples.CUSTOMER_ID, "web:2002"],
    **_ASKED,
    "entered_by": "staff:7",
    "requested_at": "2026-11-20T08:15:00Z",
    "deadline_at": "2026-12-05T08:15:00Z",
    "overdue": False,
    "acknowledgements": [{"service": "loyalty", "applied_at": "2026-11-20T08:15:02Z", "counts": {"facts": 3}}],
    "missing": ["profile", "engagement", "churn"],
    "completed_at": None,
    "receipt": None,
}


class NewErasure(BaseModel):
    """Why, and who asked: both are kept until all services have answered, and then destroyed."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]*$")] | None = None
    requested_by: Id | None = None


class PolicyNumbers(BaseModel):
    """Days from the request to the last answer."""

    model_config = ConfigDict(extra="forbid")

    deadline_days: Annotated[int, Field(ge=1, le=365)]


class PolicyView(PolicyNumbers):
    """The version in force."""

    version: int


class AcknowledgementView(BaseModel):
    """A service has destroyed what it had, or taken the name off it: rows by table."""

    service: str
    applied_at: datetime
    counts: dict[str, int]


class ErasureView(BaseModel):
    """An erasure. ``receipt``: a signed JWS once all four services have answered; ``customer_ids``: until then."""

    id: str
    state: Literal["running", "completed"]
    customer_ids: list[str]
    reason: str | None
    requested_by: str | None
    entered_by: str
    requested_at: datetime
    deadline_at: datetime
    overdue: bool
    acknowledgements: list[AcknowledgementView]
    missing: list[str]
    completed_at: datetime | None
    receipt: str | None


def erasures_router(erasures: Erasures, db: Database, wake: Wake) -> Router:
    """``POST /customers/{customer_id}/erasure``, ``GET /erasures``, ``GET /erasures/{id}``, ``GET|PUT
    /policies/erasure``."""
    router = Router(tags=["erasures"])

    @router.post("/customers/{customer_id}/erasure", status_code=202, responses=examples.answer(_RUNNING, 202))
    async def erase(
        who: Annotated[Principal, staff_only("profile:write")],
        attempt: Annotated[Attempt, idempotency_key()],
        customer_id: CustomerInPath,
        response: Response,
        asked: Annotated[NewErasure | None, Body(examples=[_ASKED])] = None,
    ) -> ErasureView:
        """Has a person forgotten in all four services, under all his ids, for good: there is no way back.

        Asked again, by any of his ids, it answers the same erasure. His orders stay in the books under a random name.
        """
        asked = asked or NewErasure()
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                return _view(await erasures.find(tx, replay.resource_id), erasures)
            started = await erasures.start(
                tx, customer_id, asked.reason, asked.requested_by, who.subject, request_cause(), outgoing_trace()
            )
            answer = _view(started, erasures)
            await attempt.remember(tx, status=202, resource_id=answer.id)
        wake()
        return answer

    @router.get("/erasures", responses=examples.answer({"items": [_RUNNING], "next_cursor": None}))
    async def list_erasures(
        _: Annotated[Principal, staff_only("profile:read")],
        paging: PageRequest,
        overdue: Annotated[bool | None, Query(description="Those whose deadline has passed, or the others")] = None,
    ) -> Page[ErasureView]:
        """Erasures, newest first."""
        after = paging.after(tuple[datetime, str])
        async with db.transaction() as tx:
            found = await erasures.page(tx, overdue=overdue, after=after, limit=paging.limit + 1)
        cursor = paging.next_cursor(found, lambda one: (one.requested_at, one.erasure_id))
        return Page(items=[_view(one, erasures) for one in found[: paging.limit]], next_cursor=cursor)

    @router.get("/erasures/{id}", responses=examples.answer(_RUNNING))
    async def read_erasure(_: Annotated[Principal, staff_only("profile:read")], id: IdInPath) -> ErasureView:
        """How far an erasure is: who has answered, until when the others must, and the receipt in the end."""
        async with db.transaction() as tx:
            return _view(await erasures.find(tx, id), erasures)

    @router.get("/policies/erasure", responses=examples.answer(_POLICY, **_ETAG))
    async def read_policy(_: Annotated[Principal, staff_only("profile:read")], response: Response) -> PolicyView:
        """Until when every service must have answered."""
        async with db.transaction() as tx:
            return _policy(await erasures.policy(tx), response)

    @router.put("/policies/erasure", responses=examples.answer(_POLICY, **_ETAG))
    async def put_policy(
        _: Annotated[Principal, staff_only("profile:write")],
        match: Annotated[Precondition, if_match()],
        numbers: Annotated[PolicyNumbers, Body(examples=[{"deadline_days": 15}])],
        response: Response,
    ) -> PolicyView:
        """A new version, for erasures asked for from now on."""
        async with db.transaction() as tx:
            return _policy(await erasures.change_policy(tx, numbers.deadline_days, match.require), response)

    return router


def _policy(policy: Policy, response: Response) -> PolicyView:
    response.headers["ETag"] = etag(policy.version)
    return PolicyView(version=policy.version, deadline_days=policy.deadline_days)


def _view(erasure: ErasureFile | None, erasures: Erasures) -> ErasureView:
    if erasure is None:
        raise not_found()
    return ErasureView(
        id=erasure.erasure_id,
        state="completed" if erasure.completed_at else "running",
        customer_ids=list(erasure.customer_ids),
        reason=erasure.reason,
        requested_by=erasure.requested_by,
        entered_by=erasure.entered_by,
        requested_at=erasure.requested_at,
        deadline_at=erasure.deadline_at,
        overdue=erasure.is_overdue(erasures.customers.clock.now()),
        acknowledgements=[
            AcknowledgementView(service=one.service, applied_at=one.applied_at, counts=one.counts)
            for one in erasure.acknowledgements
        ],
        missing=erasure.missing,
        completed_at=erasure.completed_at,
        receipt=erasure.receipt,
    )
