"""Asking what a purchase would earn, or what a version would have given for what was bought."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import uuid4

import msgspec
from fastapi import Body, Path, Response
from pydantic import AwareDatetime, BaseModel, Field

from services.loyalty.ledger.reading import holder_of
from services.loyalty.openapi import answers
from services.loyalty.programmes.bodies import ProgrammeBody, Strict, check_programme
from services.loyalty.simulations.application import Simulated, Simulations
from services.loyalty.simulations.backtests import Backtests
from services.loyalty.simulations.domain import Trial
from services.loyalty.simulations.shapes import BACKTEST, WAITS, BacktestView, backtest_view
from shared.contracts.erasures import PSEUDONYM
from shared.contracts.orders import Order, read_order
from shared.contracts.purchases import PurchaseRecorded
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.problems import documented, forbidden, invalid, not_found
from shared.http.routing import Router
from shared.messaging.envelope import not_as_agreed

NOBODY = f"{PSEUDONYM}nobody"
"""Whom no purchase can be of."""
_FIELDS = {"since": "from", "until": "to"}
_BEGIN, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_MONEY = {"amount": "400.00", "currency": "TWD"}
_PURCHASE: dict[str, Any] = {
    "customer_id": "pos:1001",
    "channel": "store",
    "total": _MONEY,
    "lines": [{"line_id": "1", "sku": "tea-oolong-50g", "category": "tea", "quantity": 1, "unit_price": _MONEY}],
}
_ASKED = {"purchase": _PURCHASE}
_ASKED_BACK = {"from": "2025-11-01T00:00:00+08:00", "to": "2026-11-01T00:00:00+08:00", "version": 1}
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


class AskedSimulation(Strict):
    """Either a purchase or a period.

    ``purchase``: the data of a ``purchase-recorded`` without ``order_id``; it happens now where no ``occurred_at``
    is given, and to somebody new where no ``customer_id`` is. ``programme``: a version to try, for staff.

    ``from``, ``to``: the orders from the one instant to before the other, as if a version had been in force all the
    while: ``programme``, or one that was posted, by its number. Beside it stands what really was, or another version
    (``compare_to``).
    """

    purchase: Annotated[dict[str, Any] | None, Field(examples=[_PURCHASE])] = None
    programme: ProgrammeBody | None = None
    since: Annotated[AwareDatetime | None, Field(alias="from")] = None
    until: Annotated[AwareDatetime | None, Field(alias="to")] = None
    version: Annotated[int | None, Field(ge=1, lt=2**31)] = None
    compare_to: Annotated[int, Field(ge=1, lt=2**31)] | Literal["as-is"] = "as-is"


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


def router(db: Database, simulations: Simulations, backtests: Backtests) -> Router:
    """``POST /simulations``, ``GET /simulations/{id}``."""
    routes = Router(tags=["simulations"])

    @routes.post(
        "/simulations",
        response_model=SimulatedView | BacktestView,
        responses={
            200: {**answers(_TOLD)[200], "model": SimulatedView},
            202: {**answers(WAITS, 202)[202], "model": BacktestView, "description": "It is worked through by a job"},
        },
    )
    async def simulate(
        who: Annotated[Principal, requires("loyalty:read")],
        attempt: Annotated[Attempt, idempotency_key()],
        asked: Annotated[AskedSimulation, Body(examples=[_ASKED, _ASKED_BACK])],
        response: Response,
    ) -> SimulatedView | BacktestView:
        """What a purchase would earn its customer beside all that he has bought: for a basket, before it is paid. A
        customer's own token asks for himself.

        Of a period: what a version would have given for all that was bought. Staff ask; `GET /simulations/{id}` has the
        answer when the job is through. Neither writes a point, an account or an event.
        """
        if asked.purchase is not None:
            return await purchase(who, asked, asked.purchase)
        if who.customer_id is not None:
            raise forbidden("This isn't open to customers.", code="staff-only")
        trial = _trial(asked, simulations.clock.now())
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                return await found(tx, replay.resource_id)
            try:
                backtest = await backtests.ask(tx, trial, who.subject)
            except LookupError as error:
                raise invalid(f"/{error}", "there is no such version") from None
            await attempt.remember(tx, status=202, resource_id=backtest.simulation_id)
        response.status_code = 202
        return backtest_view(backtest)

    async def purchase(who: Principal, asked: AskedSimulation, data: dict[str, Any]) -> SimulatedView:
        for name in ("since", "until", "version"):
            if getattr(asked, name) is not None:
                raise invalid(f"/{_FIELDS.get(name, name)}", "a purchase has no period, and no version but a programme")
        if asked.programme is not None:
            if who.customer_id is not None:
                raise forbidden("Versions that aren't posted are tried by staff.", code="insufficient-scope")
            check_programme(asked.programme)
        now = simulations.clock.now()
        order = _order(data, who.customer_id or NOBODY, now)
        async with db.transaction() as tx:
            holder = None
            if order.customer_id != NOBODY:
                holder = await holder_of(tx, order.customer_id)
                own_or_404(who, order.customer_id, *holder.ids)
            draft = asked.programme.document() if asked.programme else None
            return _view(await simulations.purchase(tx, holder, order, draft))

    @routes.get("/simulations/{id}", response_model=BacktestView, responses={**answers(BACKTEST), 404: documented(404)})
    async def read_simulation(
        who: Annotated[Principal, staff_only("loyalty:read")], id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,64}$")]
    ) -> BacktestView:
        """How far a backtest is, and what it has found."""
        async with db.transaction() as tx:
            return await found(tx, id)

    async def found(tx: Tx, id: str) -> BacktestView:
        backtest = await backtests.find(tx, id)
        if backtest is None:
            raise not_found()
        return backtest_view(backtest)

    return routes


def _trial(asked: AskedSimulation, now: datetime) -> Trial:
    if asked.since is None:
        raise invalid("/from", "give a purchase, or from and to")
    if asked.until is None:
        raise invalid("/to", "give from and to")
    if asked.since >= asked.until:
        raise invalid("/from", "from is before to")
    if asked.since < _BEGIN:
        raise invalid("/from", "an instant from 1970 on")
    if asked.until > now:
        raise invalid("/to", "past events only: to isn't later than now")
    if (asked.programme is None) == (asked.version is None):
        raise invalid("/programme", "give either programme or version")
    draft = None
    if asked.programme is not None:
        check_programme(asked.programme)
        draft = msgspec.json.encode(asked.programme.document()).decode()
    compared = None if asked.compare_to == "as-is" else asked.compare_to
    return Trial(asked.since, asked.until, asked.version, draft, compared)


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
