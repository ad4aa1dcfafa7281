"""Asking what a purchase would earn."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from fastapi import Body
from pydantic import BaseModel, Field

from services.loyalty.ledger.reading import holder_of
from services.loyalty.openapi import answers
from services.loyalty.programmes.bodies import ProgrammeBody, Strict, check_programme
from services.loyalty.simulations.application import Simulated, Simulations
from shared.contracts.erasures import PSEUDONYM
from shared.contracts.orders import Order, read_order
from shared.contracts.purchases import PurchaseRecorded
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires
from shared.http.problems import forbidden, invalid
from shared.http.routing import Router
from shared.messaging.envelope import not_as_agreed

NOBODY = f"{PSEUDONYM}nobody"
"""Whom no purchase can be of."""
_BEGIN, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_MONEY = {"amount": "400.00", "currency": "TWD"}
_PURCHASE: dict[str, Any] = {
    "customer_id": "pos:1001",
    "channel": "store",
    "total": _MONEY,
    "lines": [{"line_id": "1", "sku": "tea-oolong-50g", "category": "tea", "quantity": 1, "unit_price": _MONEY}],
}
_ASKED = {"purchase": _PURCHASE}
_TOLD: dict[str, Any] = {
    "points": 80,
    "parts": [
        {"rule": "base", "text": {}, "wanted": 40, "awarded": 40},
        {"rule": "tea-doubles", "text": {"en": "Double points on tea"}, "wanted": 40, "awarded": 40},
    ],
    "programme_version": 1,
    "draft": False,
    "available_from": "2026-12-04T08:15:00Z",
    "expires_at": "2027-11-20T08:15:00Z",
}


class Asked(Strict):
    """``purchase``: the data of a ``purchase-recorded`` without ``order_id``; it happens now where no ``occurred_at``
    is given, and to somebody new where no ``customer_id`` is. ``programme``: a version to try, for staff."""

    purchase: dict[str, Any] = Field(examples=[_PURCHASE])
    programme: ProgrammeBody | None = None


class PartView(BaseModel):
    """What the base, a rule or the tier would give: ``wanted`` before its cap, ``awarded`` after it."""

    rule: str
    text: dict[str, str]
    wanted: int
    awarded: int


class SimulatedView(BaseModel):
    """The sum of the parts. ``programme_version`` null: no version is active then; ``draft``: it is the one to try."""

    points: int
    parts: list[PartView]
    programme_version: int | None
    draft: bool
    available_from: datetime
    expires_at: datetime | None


def router(db: Database, simulations: Simulations) -> Router:
    """``POST /simulations``."""
    routes = Router(tags=["simulations"])

    @routes.post("/simulations", response_model=SimulatedView, responses=answers(_TOLD))
    async def simulate(
        who: Annotated[Principal, requires("loyalty:read")], asked: Annotated[Asked, Body(examples=[_ASKED])]
    ) -> SimulatedView:
        """What a purchase would earn its customer beside all that he has bought: for a basket, before it is paid. It
        writes nothing, so it takes no Idempotency-Key. A customer's own token asks for himself."""
        if asked.programme is not None:
            if who.customer_id is not None:
                raise forbidden("Versions that aren't posted are tried by staff.", code="insufficient-scope")
            check_programme(asked.programme)
        now = simulations.clock.now()
        order = _order(asked.purchase, who.customer_id or NOBODY, now)
        async with db.transaction() as tx:
            holder = None
            if order.customer_id != NOBODY:
                holder = await holder_of(tx, order.customer_id)
                own_or_404(who, order.customer_id, *holder.ids)
            draft = asked.programme.document() if asked.programme else None
            return _view(await simulations.purchase(tx, holder, order, draft))

    return routes


def _order(purchase: dict[str, Any], customer_id: str, now: datetime) -> Order:
    said = {"customer_id": customer_id, "occurred_at": now.isoformat(), **purchase}
    if "order_id" in said:
        raise invalid("/purchase/order_id", "a purchase that is only thought of has none")
    try:
        data = msgspec.convert({**said, "order_id": f"simulation:{uuid4().hex}"}, PurchaseRecorded)
    except msgspec.ValidationError as error:
        fault = not_as_agreed(error, "/purchase")
        raise invalid(fault.pointer, fault.detail) from None
    if not _BEGIN <= data.occurred_at <= _END:
        raise invalid("/purchase/occurred_at", "an instant from 1970 to 2200")
    # Of what happens at one instant it is the last.
    return read_order(data, "~simulation", data.order_id)


def _view(simulated: Simulated) -> SimulatedView:
    award = simulated.judgement.award
    return SimulatedView(
        points=award.points,
        parts=[
            PartView(
                rule=part.rule,
                text=dict(simulated.texts.get(part.rule, {})),
                wanted=part.wanted,
                awarded=part.awarded,
            )
            for part in simulated.judgement.parts
        ],
        programme_version=None if simulated.is_draft else award.programme_version,
        draft=simulated.is_draft,
        available_from=award.available_from,
        expires_at=award.expires_at,
    )
