"""The routes of merges."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Body, Response
from pydantic import BaseModel, ConfigDict

from services.profile import examples
from services.profile.fields import CustomerId, IdInPath, outgoing_trace, request_cause
from services.profile.identities.application import Identities
from services.profile.identities.domain import (
    AlreadyMerged,
    AlreadyUndone,
    KindsDiffer,
    MergeView,
    SamePerson,
    UnknownCustomer,
)
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.problems import conflict, invalid, not_found
from shared.http.routing import Router
from shared.service import Wake

Reader = Annotated[Principal, staff_only("profile:read")]
Writer = Annotated[Principal, staff_only("profile:write")]

_JOIN = {"from_id": "web:2002", "into_id": examples.CUSTOMER_ID}
_MERGE: dict[str, Any] = {
    "id": "m_0c1d",
    "version": 1,
    **_JOIN,
    "active": True,
    "merged_at": "2026-11-20T08:15:00Z",
    "undone_at": None,
    "acknowledged_by": ["churn", "loyalty", "profile"],
    "automatic": True,
    "reason": {"rule": "merging", "policy_version": 1, "verified": ["email"]},
}
_UNDONE = _MERGE | {"version": 2, "active": False, "undone_at": "2026-11-21T02:00:00Z", "acknowledged_by": []}


class NewMerge(BaseModel):
    """``from_id`` becomes another id of ``into_id``, whose file stays."""

    model_config = ConfigDict(extra="forbid")

    from_id: CustomerId
    into_id: CustomerId


class RuleView(BaseModel):
    """The version of the policy that joined them, and the kinds of key that both have verified."""

    rule: Literal["merging"] = "merging"
    policy_version: int
    verified: list[str]


class MergeAnswer(BaseModel):
    """A merge. ``acknowledged_by``: the services that have taken this version in. ``reason``: of an automatic one."""

    id: str
    version: int
    from_id: str
    into_id: str
    active: bool
    merged_at: datetime
    undone_at: datetime | None
    acknowledged_by: list[str]
    automatic: bool
    reason: RuleView | None


def identities_router(identities: Identities, db: Database, wake: Wake) -> Router:
    """``POST /merges``, ``GET /merges/{id}``, ``POST /merges/{id}/undo``."""
    router = Router(tags=["identities"])

    @router.post("/merges", status_code=201, responses=examples.answer(_MERGE, 201))
    async def merge(
        _: Writer,
        attempt: Annotated[Attempt, idempotency_key()],
        wanted: Annotated[NewMerge, Body(examples=[_JOIN])],
        response: Response,
    ) -> MergeAnswer:
        """Joins two ids of one person. Both files stay as they are; reads of ``from_id`` answer ``into_id``.

        Refused (409) where one is joined already, or one is a company's and the other a person's.
        """
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                return _view(await identities.find(tx, replay.resource_id))
            try:
                made = await identities.merge(tx, wanted.from_id, wanted.into_id, request_cause(), outgoing_trace())
            except SamePerson as error:
                raise invalid("/into_id", "An id can't be joined to itself.", code="same-customer") from error
            except UnknownCustomer as error:
                raise invalid(f"/{error.place}", "There is no such customer.", code="unknown-customer") from error
            except AlreadyMerged as error:
                detail = f"{error.place} is joined to {error.survivor} already."
                raise conflict("already-merged", detail, survivor=error.survivor) from error
            except KindsDiffer as error:
                raise conflict("kinds-differ", "A person and a company are never one.") from error
            await attempt.remember(tx, status=201, resource_id=made.merge_id)
        wake()
        return _view(made)

    @router.get("/merges/{id}", responses=examples.answer(_MERGE))
    async def read_merge(_: Reader, id: IdInPath) -> MergeAnswer:
        """A merge, and which services have taken it in."""
        async with db.transaction() as tx:
            return _view(await identities.find(tx, id))

    @router.post("/merges/{id}/undo", responses=examples.answer(_UNDONE))
    async def undo(
        _: Writer, attempt: Annotated[Attempt, idempotency_key()], id: IdInPath, response: Response
    ) -> MergeAnswer:
        """Parts the two again: each has what is known under his own ids; edits made meanwhile stay with ``into_id``.

        Whom a rule had joined no rule joins again.
        """
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                return _view(await identities.find(tx, replay.resource_id))
            try:
                undone = _view(await identities.undo(tx, id, request_cause(), outgoing_trace()))
            except AlreadyUndone as error:
                raise conflict("already-undone", "The two have been parted before.") from error
            await attempt.remember(tx, status=200, resource_id=id)
        wake()
        return undone

    return router


def _view(merge: MergeView | None) -> MergeAnswer:
    if merge is None:
        raise not_found()
    return MergeAnswer(
        id=merge.merge_id,
        version=merge.version,
        from_id=merge.from_id,
        into_id=merge.into_id,
        active=merge.active,
        merged_at=merge.merged_at,
        undone_at=merge.undone_at,
        acknowledged_by=list(merge.acknowledged_by),
        automatic=merge.rule is not None,
        reason=RuleView(policy_version=merge.rule.policy_version, verified=list(merge.rule.verified))
        if merge.rule
        else None,
    )
