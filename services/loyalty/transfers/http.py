"""Points from one customer to another over HTTP."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field

from services.loyalty.ledger.reading import holder_of
from services.loyalty.openapi import answers
from services.loyalty.programmes.bodies import Strict
from services.loyalty.transfers import examples
from services.loyalty.transfers.application import HIMSELF, Transfers, of_staff
from services.loyalty.transfers.domain import SameCustomerError, TransferLimitError, Transferred
from shared.contracts.types import CUSTOMER_ID, PRINTABLE
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.problems import ProblemError, conflict, documented, forbidden, not_found
from shared.http.routing import Router

Writer = Annotated[Principal, requires("loyalty:write")]
Key = Annotated[Attempt, idempotency_key(required=True)]
CustomerId = Annotated[str, Field(pattern=CUSTOMER_ID.removesuffix(r"(?!\n)"))]
_GONE: dict[int | str, dict[str, Any]] = {404: documented(404), 409: documented(409)}


class AskedTransfer(Strict):
    """Whose points, to whom, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": examples.ASKED})

    from_customer_id: CustomerId
    to_customer_id: CustomerId
    points: Annotated[int, Field(strict=True, ge=1, le=10**9)]
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")] | None = None


class TransferView(BaseModel):
    """Points that went over. ``from_customer_id`` and, to staff, ``to_customer_id`` are the ids that answer for the two
    persons; ``named`` is the id that was asked for, null once who got them was erased. A customer sees nobody else's
    but the one that he named: none where staff made the transfer."""

    id: str
    from_customer_id: str
    to_customer_id: str | None
    named: str | None
    points: int
    reason: str | None
    at: datetime


def router(db: Database, transfers: Transfers, *, by_customers: bool) -> Router:
    """``/transfers``. ``by_customers``: whether a customer's own token may give what is his."""
    routes = Router(tags=["transfers"])

    @routes.post(
        "/transfers",
        status_code=201,
        response_model=TransferView,
        responses={**answers(examples.TRANSFER, 201), **_GONE},
    )
    async def transfer(asked: AskedTransfer, who: Writer, attempt: Key, response: Response) -> TransferView:
        """Gives points of one customer to another; they become available and expire as they would have.

        409 `insufficient-points` with `shortfall`; `same-customer` where both ids are one person. A customer gives what
        is his where the house lets him, else it is staff's; and no more on a day of the house's zone, under all his
        ids, than `transfers` of the programme says: 409 `transfer-limit-reached` with `per_day` and `left`.
        """
        _let_in(who)
        async with db.transaction() as tx:
            if replay := await attempt.claim(tx):
                replay.mark(response)
                return _view(await transfers.one(tx, replay.resource_id), who)
            await _own(tx, who, asked.from_customer_id)
            actor = HIMSELF if who.customer_id is not None else of_staff(who.subject)
            try:
                done = await transfers.transfer(
                    tx, asked.from_customer_id, asked.to_customer_id, asked.points, asked.reason, actor
                )
            except LookupError:
                raise not_found() from None
            await attempt.remember(tx, status=201, resource_id=done.transfer.transfer_id)
        return _view(done, who)

    @routes.get(
        "/transfers/{id}", response_model=TransferView, responses={**answers(examples.TRANSFER), 404: documented(404)}
    )
    async def read(
        id: Annotated[str, Path(pattern=PRINTABLE.removesuffix(r"(?!\n)"))],
        who: Annotated[Principal, requires("loyalty:read")],
    ) -> TransferView:
        """A transfer: for staff, and for who gave."""
        async with db.transaction() as tx:
            try:
                found = await transfers.one(tx, id)
            except LookupError:
                raise not_found() from None
            await _own(tx, who, found.from_customer_id)
        return _view(found, who)

    def _let_in(who: Principal) -> None:
        if who.customer_id is not None and not by_customers:
            raise forbidden("Customers don't transfer points here: staff does.", code="staff-only")

    async def _own(tx: Tx, who: Principal, customer: str) -> None:
        if who.customer_id is not None:
            own_or_404(who, customer, *(await holder_of(tx, customer)).ids)

    return routes


ERRORS: dict[type[Exception], Callable[[Any], ProblemError]] = {
    TransferLimitError: lambda error: conflict(
        "transfer-limit-reached",
        f"A customer gives no more than {error.per_day} points on a day.",
        per_day=error.per_day,
        left=error.left,
    ),
    SameCustomerError: lambda _: conflict("same-customer", "Both ids are one person: the points are his already."),
}
"""How what can't be comes out."""


def _view(done: Transferred, who: Principal) -> TransferView:
    named = done.transfer.named
    if who.customer_id is not None and done.transfer.actor != HIMSELF:
        # Whom staff named is another's id, that he may never have heard.
        named = None
    return TransferView(
        id=done.transfer.transfer_id,
        from_customer_id=done.from_customer_id,
        to_customer_id=done.to_customer_id if who.customer_id is None else named,
        named=named,
        points=done.transfer.points,
        reason=done.transfer.reason,
        at=done.transfer.at,
    )
