"""Memberships over HTTP: staff and tills enrol, a customer reads his own."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field

from services.loyalty.enrolments.application import Enrolments, Terms
from services.loyalty.enrolments.domain import Enrolment, EnrolmentRefused, State, is_member_number
from services.loyalty.ledger.reading import holder_of
from services.loyalty.openapi import answers
from services.loyalty.programmes.bodies import MoneyBody, Name, Strict
from shared.contracts.types import CUSTOMER_ID, Money, decimal_of
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.problems import conflict, documented, invalid, not_found
from shared.http.routing import Router

_CUSTOMER = CUSTOMER_ID.removesuffix(r"(?!\n)")
_FEE = {"amount": "399.00", "currency": "TWD"}
_PLAN: dict[str, Any] = {"name": "card", "months": 12, "fee": _FEE}
_CARD: dict[str, Any] = {"member_number": "1000 0012"}
_TERMS: dict[str, Any] = {"months": 12, "fee": _FEE}
_JOINS: dict[str, Any] = {"customer_id": "pos:1001", "plan": _PLAN}
_VIEW: dict[str, Any] = {
    "id": "en_1f3a",
    "customer_id": "pos:1001",
    "member_number": "10000012",
    "state": "active",
    "plan": "card",
    "from": "2026-11-20T08:15:00Z",
    "until": "2027-11-20T08:15:00Z",
    "renewals": 0,
    "cancelled_at": None,
    "terms": [{"from": "2026-11-20T08:15:00Z", "until": "2027-11-20T08:15:00Z", "fee": _FEE}],
}

Writer = Annotated[Principal, staff_only("loyalty:write")]
Once = Annotated[Attempt, idempotency_key(required=True)]
EnrolmentId = Annotated[str, Path(alias="id", pattern=r"^[!-~]{1,64}$")]


class TermsBody(Strict):
    """How many calendar months, and the fee: it is kept with the term, nobody is charged here."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": _TERMS})

    months: Annotated[int, Field(ge=1, le=120)]
    fee: MoneyBody | None = None

    def terms(self, pointer: str) -> Terms:
        """The same for the use case. Raises ProblemError 422 with the pointer."""
        try:
            fee = Money(amount=self.fee.amount, currency=self.fee.currency) if self.fee else None
        except ValueError as error:
            raise invalid(f"{pointer}/fee/amount", str(error)) from None
        return Terms(self.months, fee)


class PlanBody(TermsBody):
    """A membership that ends: its name, its first term."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": _PLAN})

    name: Name


class EnrolmentBody(Strict):
    """Without ``plan`` the membership is free and has no end."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": _JOINS})

    customer_id: Annotated[str, Field(pattern=_CUSTOMER)]
    plan: PlanBody | None = None


class CancelBody(Strict):
    """Nothing to say."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": {}})


class LookupBody(Strict):
    """A number as it is on the card; blanks and hyphens don't matter."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": _CARD})

    member_number: Annotated[str, Field(max_length=40, pattern=r"^[0-9 -]+$")]


class MoneyView(BaseModel):
    """An amount of a currency."""

    amount: str
    currency: str


class TermView(BaseModel):
    """A time that the membership is for, and what was agreed to be paid for it."""

    since: datetime = Field(serialization_alias="from")
    until: datetime | None
    fee: MoneyView | None


class EnrolmentView(BaseModel):
    """A membership: active, lapsed (its term is over, and it may be renewed), or cancelled.

    ``member_number``: unique, its last digit checks the others; it proves nothing of who shows it. ``until`` null is
    without an end; ``renewals`` are the terms after the first.
    """

    id: str
    customer_id: str
    member_number: str
    state: State
    plan: str | None
    since: datetime = Field(serialization_alias="from")
    until: datetime | None
    renewals: int
    cancelled_at: datetime | None
    terms: list[TermView]


def router(db: Database, enrolments: Enrolments) -> Router:
    """``/enrolments``, and the one of an account."""
    routes = Router(tags=["enrolments"])

    @routes.post("/enrolments", status_code=201, response_model=EnrolmentView, responses=answers(_VIEW, 201))
    async def enrol(who: Writer, once: Once, body: EnrolmentBody, response: Response) -> EnrolmentView:
        """Makes a customer a member, from now on. Who is one, and hasn't cancelled, isn't made one again: 409
        `already-enrolled` with `enrolment_id`."""
        terms = body.plan.terms("/plan") if body.plan else None
        async with db.transaction() as tx:
            if (replay := await once.claim(tx)) is not None:
                replay.mark(response)
                return await _replayed(tx, replay.resource_id)
            with _answered():
                made = await enrolments.enrol(tx, body.customer_id, body.plan.name if body.plan else None, terms)
            await once.remember(tx, status=201, resource_id=_resource(made))
        return _view(made, made.known_at)

    @routes.post(
        "/enrolments/{id}/renewals", status_code=201, response_model=EnrolmentView, responses=answers(_VIEW, 201)
    )
    async def renew(who: Writer, once: Once, id: EnrolmentId, body: TermsBody, response: Response) -> EnrolmentView:
        """Adds a term: after the last one, or from now on where that is over. The number stays."""
        terms = body.terms("")
        async with db.transaction() as tx:
            if (replay := await once.claim(tx)) is not None:
                replay.mark(response)
                return await _replayed(tx, replay.resource_id)
            with _answered():
                renewed = await enrolments.renew(tx, id, terms)
            await once.remember(tx, status=201, resource_id=_resource(renewed))
        return _view(renewed, renewed.known_at)

    @routes.post("/enrolments/{id}/cancel", response_model=EnrolmentView, responses=answers(_VIEW))
    async def cancel(who: Writer, once: Once, id: EnrolmentId, body: CancelBody, response: Response) -> EnrolmentView:
        """Ends the membership now, whatever its term; points and tier stay. He may be enrolled anew."""
        async with db.transaction() as tx:
            if (replay := await once.claim(tx)) is not None:
                replay.mark(response)
                return await _replayed(tx, replay.resource_id)
            with _answered():
                ended = await enrolments.cancel(tx, id)
            await once.remember(tx, status=200, resource_id=_resource(ended))
        return _view(ended, ended.known_at)

    @routes.post(
        "/enrolments/lookups", response_model=EnrolmentView, responses={**answers(_VIEW), 404: documented(404)}
    )
    async def look_up(who: Annotated[Principal, staff_only("loyalty:read")], body: LookupBody) -> EnrolmentView:
        """Whose number this is, for a till. A number with a wrong digit is refused: 422. It writes nothing, so it
        takes no Idempotency-Key."""
        number = body.member_number.replace(" ", "").replace("-", "")
        if not is_member_number(number):
            raise invalid("/member_number", "the last digit doesn't fit the others: one was mistyped")
        async with db.transaction() as tx:
            with _answered():
                found = await enrolments.numbered(tx, number)
        return _view(found, enrolments.clock.now())

    @routes.get("/accounts/{customer_id}/enrolment", response_model=EnrolmentView, responses=answers(_VIEW))
    async def of_customer(
        customer_id: Annotated[str, Path(pattern=_CUSTOMER)], who: Annotated[Principal, requires("loyalty:read")]
    ) -> EnrolmentView:
        """The membership of a person, under whichever of his ids it was made: what is active before what has ended,
        the newest of each."""
        async with db.transaction() as tx:
            holder = await holder_of(tx, customer_id)
            own_or_404(who, customer_id, *holder.ids)
            found = await enrolments.of(tx, holder.accounts)
        if found is None:
            raise not_found()
        return _view(found, enrolments.clock.now())

    async def _replayed(tx: Tx, resource_id: str) -> EnrolmentView:
        id, terms, end = resource_id.split("/")
        with _answered():
            found = (await enrolments.one(tx, id)).as_it_was(int(terms), cancelled=bool(end))
        return _view(found, found.known_at)

    return routes


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except LookupError:
        raise not_found() from None
    except EnrolmentRefused as refused:
        raise conflict(refused.code, str(refused), enrolment_id=refused.enrolment_id) from None


def _resource(enrolment: Enrolment) -> str:
    return f"{enrolment.enrolment_id}/{len(enrolment.terms)}/{'cancelled' if enrolment.cancelled_at else ''}"


def _view(enrolment: Enrolment, at: datetime) -> EnrolmentView:
    return EnrolmentView(
        id=enrolment.enrolment_id,
        customer_id=enrolment.customer_id,
        member_number=enrolment.member_number,
        state=enrolment.state(at),
        plan=enrolment.plan,
        since=enrolment.enrolled_at,
        until=enrolment.until,
        renewals=len(enrolment.terms) - 1,
        cancelled_at=enrolment.cancelled_at,
        terms=[
            TermView(
                since=term.since,
                until=term.until,
                fee=MoneyView(amount=decimal_of(term.fee_minor, term.currency), currency=term.currency)
                if term.fee_minor and term.currency
                else None,
            )
            for term in enrolment.terms
        ],
    )
