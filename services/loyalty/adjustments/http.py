"""Giving and taking points by hand, for staff alone."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Query, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from services.loyalty.adjustments import examples
from services.loyalty.adjustments.application import Adjustments
from services.loyalty.adjustments.domain import Adjusted, AdjustmentRefusedError, State
from services.loyalty.openapi import answers, page
from services.loyalty.programmes.bodies import Strict
from shared.contracts.types import CUSTOMER_ID, PRINTABLE
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import ProblemError, conflict, documented, invalid, not_found
from shared.http.routing import Router

MOST = 10**9
Writer = Annotated[Principal, staff_only("loyalty:write")]
Reader = Annotated[Principal, staff_only("loyalty:read")]
Key = Annotated[Attempt, idempotency_key(required=True)]
CustomerId = Annotated[str, Path(pattern=CUSTOMER_ID.removesuffix(r"(?!\n)"))]
Id = Annotated[str, Path(pattern=PRINTABLE.removesuffix(r"(?!\n)"))]
_END = datetime(2200, 1, 1, tzinfo=UTC)
_GONE: dict[int | str, dict[str, Any]] = {404: documented(404), 409: documented(409)}


def _some(points: int) -> int:
    if not points:
        raise ValueError("give or take at least one point")
    return points


def _in_our_time(at: datetime) -> datetime:
    if not 1970 <= at.year <= 2200:
        raise ValueError("between 1970 and 2200, please")
    return at


class AskedAdjustment(Strict):
    """``points`` to give, or to take where they are below zero. ``expires_at``: of points given; where nothing is said,
    by the programme's rule."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": examples.ASKED})

    points: Annotated[int, Field(strict=True, ge=-MOST, le=MOST), AfterValidator(_some)]
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
    expires_at: Annotated[AwareDatetime, AfterValidator(_in_our_time)] | None = None


class AdjustmentView(BaseModel):
    """``state``: proposed, while a second person has to agree; applied; refused."""

    id: str
    customer_id: str
    points: int
    reason: str | None
    expires_at: datetime | None
    state: State
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None
    decided_at: datetime | None


def router(db: Database, adjustments: Adjustments) -> Router:
    """``POST /accounts/{customer_id}/adjustments``; ``/adjustments``."""
    routes = Router(tags=["adjustments"])

    @routes.post(
        "/accounts/{customer_id}/adjustments",
        status_code=201,
        response_model=AdjustmentView,
        responses={
            **answers(examples.ADJUSTMENT, 201),
            **answers(examples.PROPOSED, 202, description="A second person has to agree.", model=AdjustmentView),
            **_GONE,
        },
    )
    async def adjust(
        customer_id: CustomerId, asked: AskedAdjustment, who: Writer, attempt: Key, response: Response
    ) -> AdjustmentView:
        """Gives points, available at once, or takes some. What brings the points that one actor gave and took of one
        person alone on a day of the house's zone above a threshold is only proposed (202), and a second person
        approves or refuses. 409 `insufficient-points` with `shortfall`: nobody has less than nothing.
        """
        if asked.expires_at is not None and asked.points < 0:
            raise invalid("/expires_at", "points that are taken don't expire")
        if asked.expires_at is not None and asked.expires_at <= adjustments.clock.now():
            raise invalid("/expires_at", "that has passed already")
        async with db.transaction() as tx:
            if replay := await attempt.claim(tx):
                replay.mark(response)
                return _view(await adjustments.one(tx, replay.resource_id))
            try:
                adjusted = await adjustments.adjust(
                    tx, customer_id, asked.points, asked.reason, asked.expires_at, who.subject
                )
            except LookupError:
                raise not_found() from None
            status = 202 if adjusted.adjustment.state == "proposed" else 201
            response.status_code = status
            await attempt.remember(tx, status=status, resource_id=adjusted.adjustment.adjustment_id)
        return _view(adjusted)

    @routes.get("/adjustments", response_model=Page[AdjustmentView], responses=page(examples.PROPOSED))
    async def listed(
        who: Reader, paging: PageRequest, state: Annotated[State | None, Query()] = None
    ) -> Page[AdjustmentView]:
        """Adjustments, the newest first; those of one state, as of what waits for a second person."""
        before = paging.after(tuple[datetime, str]) or (_END, "")
        async with db.transaction() as tx:
            found = await adjustments.page(tx, state, before, paging.limit + 1)
        cursor = paging.next_cursor(
            found, lambda one: (one.adjustment.proposed_at, one.adjustment.adjustment_id)
        )
        return Page(items=[_view(one) for one in found[: paging.limit]], next_cursor=cursor)

    @routes.get(
        "/adjustments/{id}",
        response_model=AdjustmentView,
        responses={**answers(examples.ADJUSTMENT), 404: documented(404)},
    )
    async def read(id: Id, who: Reader) -> AdjustmentView:
        """An adjustment as it is now."""
        async with db.transaction() as tx:
            try:
                return _view(await adjustments.one(tx, id))
            except LookupError:
                raise not_found() from None

    @routes.post(
        "/adjustments/{id}/approve", response_model=AdjustmentView, responses={**answers(examples.DECIDED), **_GONE}
    )
    async def approve(id: Id, who: Writer, attempt: Key, response: Response) -> AdjustmentView:
        """A second person agrees, and the points are moved. 409 `second-person-needed` for who proposed it."""
        return await _decide(id, "applied", who, attempt, response)

    @routes.post(
        "/adjustments/{id}/refuse",
        response_model=AdjustmentView,
        responses={**answers({**examples.DECIDED, "state": "refused"}), **_GONE},
    )
    async def refuse(id: Id, who: Writer, attempt: Key, response: Response) -> AdjustmentView:
        """A second person doesn't: it comes to nothing. 409 `second-person-needed` for who proposed it."""
        return await _decide(id, "refused", who, attempt, response)

    async def _decide(id: str, state: State, who: Principal, attempt: Attempt, response: Response) -> AdjustmentView:
        async with db.transaction() as tx:
            if replay := await attempt.claim(tx):
                replay.mark(response)
                return _view(await adjustments.one(tx, replay.resource_id))
            try:
                adjusted = await adjustments.decide(tx, id, state, who.subject)
            except LookupError:
                raise not_found() from None
            await attempt.remember(tx, status=200, resource_id=id)
        return _view(adjusted)

    return routes


ERRORS: dict[type[Exception], Callable[[Any], ProblemError]] = {
    AdjustmentRefusedError: lambda error: conflict(error.code, error.detail),
}
"""How what can't be comes out."""


def _view(adjusted: Adjusted) -> AdjustmentView:
    adjustment = adjusted.adjustment
    return AdjustmentView(
        id=adjustment.adjustment_id,
        customer_id=adjusted.customer_id,
        points=adjustment.points,
        reason=adjustment.reason,
        expires_at=adjustment.expires_at,
        state=adjustment.state,
        proposed_by=adjustment.proposed_by,
        proposed_at=adjustment.proposed_at,
        decided_by=adjustment.decided_by,
        decided_at=adjustment.decided_at,
    )
