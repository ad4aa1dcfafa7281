"""Referrals over HTTP: a customer has his code and sees what came of it; staff see who brought whom, and how many."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.loyalty.coupons.codes import shown
from services.loyalty.ledger.reading import Holder, holder_of
from services.loyalty.openapi import answers
from services.loyalty.referrals import examples
from services.loyalty.referrals.application import Period, PersonalCode, Referrals
from services.loyalty.referrals.domain import Reason, State
from services.loyalty.referrals.store import Referral
from shared.contracts.types import CUSTOMER_ID
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import PageRequest
from shared.http.problems import forbidden, invalid, not_found
from shared.http.routing import Router

_BEGIN, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_OPEN_TO_BOTH: tuple[Reason, ...] = ("limit-reached",)

CustomerId = Annotated[str, Path(pattern=CUSTOMER_ID.removesuffix(r"(?!\n)"))]
Reader = Annotated[Principal, requires("loyalty:read")]
Moment = Annotated[AwareDatetime, Field(ge=_BEGIN, le=_END)]


class CodeView(BaseModel):
    """A personal code, for others to give with their first purchase. ``customer_id``: the id that it was made for."""

    model_config = ConfigDict(json_schema_extra={"example": examples.CODE})

    customer_id: str
    code: str
    created_at: datetime


class ReferralView(BaseModel):
    """A referral as one side sees it: ``points`` are what this person has of it.

    Of the other side a customer is told nothing: not who that is, nor what and when he bought, nor, as referrer, why it
    was refused, but for his own limit.
    """

    id: str
    role: Literal["referrer", "referee"]
    state: State
    reason: Reason | None
    points: int
    ordered_at: datetime | None
    qualifies_at: datetime | None
    order_id: str | None
    referrer_id: str | None
    referee_id: str | None


class ReferralsView(BaseModel):
    """What a person has brought, by state, and the ``points`` that he has of it; a page of his referrals on both
    sides."""

    model_config = ConfigDict(json_schema_extra={"example": examples.REFERRALS})

    customer_id: str
    pending: int
    qualified: int
    refused: int
    points: int
    items: list[ReferralView]
    next_cursor: str | None


class ReferralFigures(BaseModel):
    """Of everybody whose first purchase lies in the period (``new_customers``) those who came by a code: ``referred``,
    ``qualified`` and ``pending``; ``rate`` is referred / new_customers, null where nobody was new. ``refused``:
    purchases with codes that made no referral, by reason. ``points``: given to both sides."""

    model_config = ConfigDict(json_schema_extra={"example": examples.KPI})

    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    new_customers: int
    referred: int
    rate: str | None
    qualified: int
    pending: int
    points: int
    refused: dict[str, int]


def router(db: Database, referrals: Referrals) -> Router:
    """``/accounts/{customer_id}/referral-code``, ``/accounts/{customer_id}/referrals``, ``/referrals``."""
    routes = Router(tags=["referrals"])

    @routes.get("/accounts/{customer_id}/referral-code", response_model=CodeView, responses=answers(examples.CODE))
    async def read_code(customer_id: CustomerId, who: Reader) -> CodeView:
        """A customer's code, under whichever of his ids; 404 where none was made yet."""
        async with db.transaction() as tx:
            code = await referrals.code_of(tx, await _holder(tx, who, customer_id))
        if code is None:
            raise not_found()
        return _code(code)

    @routes.post(
        "/accounts/{customer_id}/referral-code", status_code=201, response_model=CodeView,
        responses={
            **answers(examples.CODE, 201),
            **answers(examples.CODE, model=CodeView, description="It was there already."),
        },
    )  # fmt: skip
    async def make_code(
        customer_id: CustomerId, who: Reader, response: Response, attempt: Annotated[Attempt, idempotency_key()]
    ) -> CodeView:
        """Makes a customer's code; where he has one, 200 with that. He may do so himself with `loyalty:read`: it moves
        nothing, and is his alone. Staff make one with `loyalty:write`.
        """
        if who.customer_id is None and not who.has("loyalty:write"):
            raise forbidden("The token lacks the scope loyalty:write.", code="insufficient-scope")
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            code, made = await referrals.make_code(tx, await _holder(tx, who, customer_id))
            if replay is not None:
                replay.mark(response)
                return _code(code)
            response.status_code = 201 if made else 200
            await attempt.remember(tx, status=response.status_code, resource_id=code.customer_id)
        return _code(code)

    @routes.get(
        "/accounts/{customer_id}/referrals", response_model=ReferralsView, responses=answers(examples.REFERRALS)
    )
    async def of_customer(customer_id: CustomerId, who: Reader, paging: PageRequest) -> ReferralsView:
        """Whom a customer brought, and by whom he was brought, under all his ids. To his own token without anything
        that tells of the others."""
        after = paging.after(tuple[str])
        async with db.transaction() as tx:
            holder = await _holder(tx, who, customer_id)
            brought = await referrals.brought(tx, holder.ids)
            found = await referrals.page(tx, holder.ids, after[0] if after else "", paging.limit + 1)
        return ReferralsView(
            customer_id=customer_id,
            pending=brought.by_state.get("pending", 0),
            qualified=brought.by_state.get("qualified", 0),
            refused=brought.by_state.get("refused", 0),
            points=brought.points,
            items=[_view(one, holder, who) for one in found[: paging.limit]],
            next_cursor=paging.next_cursor(found, lambda one: (one.referral_id or "",)),
        )

    @routes.get("/referrals", response_model=ReferralFigures, responses=answers(examples.KPI))
    async def figures(
        who: Annotated[Principal, staff_only("loyalty:read")],
        since: Annotated[Moment, Query(alias="from")],
        until: Annotated[Moment, Query(alias="to", description="after the last instant")],
    ) -> ReferralFigures:
        """How many new customers of a period were brought by others."""
        if since >= until:
            raise invalid("/to", "from is before to")
        async with db.transaction() as tx:
            return _figures(since, until, await referrals.of_period(tx, since, until))

    async def _holder(tx: Tx, who: Principal, customer_id: str) -> Holder:
        holder = await holder_of(tx, customer_id)
        own_or_404(who, customer_id, *holder.ids)
        if not holder.accounts:
            raise not_found()
        return holder

    return routes


def _code(code: PersonalCode) -> CodeView:
    return CodeView(customer_id=code.customer_id, code=shown(code.code), created_at=code.created_at)


def _view(one: Referral, holder: Holder, who: Principal) -> ReferralView:
    role: Literal["referrer", "referee"] = "referee" if one.referee_id in holder.ids else "referrer"
    staff, his = who.customer_id is None, role == "referee"
    points = one.referee_points if his else one.referrer_points
    if his and one.referrer_id in holder.ids:
        points += one.referrer_points
    return ReferralView(
        id=one.referral_id or "",
        role=role,
        state=one.state,
        reason=one.reason if staff or his or one.reason in _OPEN_TO_BOTH else None,
        points=points,
        ordered_at=one.ordered_at if staff or his else None,
        qualifies_at=one.qualifies_at if staff or his else None,
        order_id=one.order_id if staff or his else None,
        referrer_id=one.referrer_id if staff else None,
        referee_id=one.referee_id if staff or his else None,
    )


def _figures(since: datetime, until: datetime, period: Period) -> ReferralFigures:
    referred = period.pending + period.qualified
    return ReferralFigures(
        since=since,
        until=until,
        new_customers=period.new_customers,
        referred=referred,
        rate=f"{referred / period.new_customers:.4f}" if period.new_customers else None,
        qualified=period.qualified,
        pending=period.pending,
        points=period.points,
        refused=dict(period.refused),
    )
