"""Using points over HTTP: every POST takes an Idempotency-Key, and has its effect once for ever."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Path, Response

from services.loyalty.ledger.reading import holder_of
from services.loyalty.ledger.spending import ShortOfPointsError, TooManyLotsError
from services.loyalty.openapi import answers, page
from services.loyalty.redemptions import examples
from services.loyalty.redemptions.application import Redemptions
from services.loyalty.redemptions.bodies import (
    Asked,
    AskedCommit,
    AskedFulfilment,
    AskedHold,
    AskedRollback,
    CustomerId,
    HoldView,
    QuoteView,
    RedemptionView,
    hold_view,
    quote_view,
    redemption_view,
)
from services.loyalty.redemptions.commands import Commit, MakeHold, MakeQuote, Redeem, Void
from services.loyalty.redemptions.domain import (
    QUOTE,
    REDEMPTION,
    Held,
    NotThereError,
    Redeemed,
    RedemptionRefusedError,
)
from services.loyalty.redemptions.teller import Teller
from services.loyalty.rewards.application import told
from shared.contracts.types import PRINTABLE
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires, staff_only
from shared.http.idempotency import Attempt, Claim, Replay, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import ProblemError, conflict, documented, not_found
from shared.http.routing import Router

Writer = Annotated[Principal, requires("loyalty:write")]
Staff = Annotated[Principal, staff_only("loyalty:write")]
Key = Annotated[Attempt, idempotency_key(required=True)]
Id = Annotated[str, Path(pattern=PRINTABLE.removesuffix(r"(?!\n)"))]
_Theirs = TypeVar("_Theirs", Held, Redeemed)
_END = datetime(2200, 1, 1, tzinfo=UTC)
_GONE: dict[int | str, dict[str, Any]] = {404: documented(404), 409: documented(409)}


def router(db: Database, redemptions: Redemptions, teller: Teller) -> Router:
    """``/quotes``, ``/holds``, ``/redemptions``; ``/accounts/{customer_id}/redemptions``."""
    routes = Router(tags=["redemptions"])

    @routes.post(
        "/quotes", status_code=201, response_model=QuoteView, responses={**answers(examples.QUOTE, 201), **_GONE}
    )
    async def quote(asked: Asked, who: Writer, attempt: Key, response: Response) -> QuoteView:
        """What a reward, or so many points, would take from a customer now. Nothing is kept back: a hold does that.

        409 `insufficient-points` with `shortfall`, or why the reward can't be taken.
        """
        id = redemptions.new_id(QUOTE)
        command = MakeQuote(id, asked.customer_id, asked.terms(), asker=who.customer_id)
        with told(to_customer=who.customer_id is not None):
            quote = await teller.serve(Claim(attempt, 201, id), command)
        if isinstance(quote, Replay):
            quote.mark(response)
            async with db.transaction() as tx:
                quote = await redemptions.quoted(tx, quote.resource_id)
        return quote_view(quote)

    @routes.post("/holds", status_code=201, response_model=HoldView, responses={**answers(examples.HOLD, 201), **_GONE})
    async def hold(asked: AskedHold, who: Writer, attempt: Key, response: Response) -> HoldView:
        """Sets aside what a quote named, points and one of the reward, for `ttl` seconds. One hold a quote."""
        making = MakeHold(asked.quote_id, asked.lasting, asker=who.customer_id)
        with told(to_customer=who.customer_id is not None):
            held = await teller.serve(Claim(attempt, 201, making.hold_id), making)
        return hold_view(await _latest(who, held, response, redemptions.held))

    @routes.get("/holds/{id}", response_model=HoldView, responses={**answers(examples.HOLD), **_GONE})
    async def read_hold(id: Id, who: Annotated[Principal, requires("loyalty:read")]) -> HoldView:
        """A hold as it is now."""
        async with db.transaction() as tx:
            held = await redemptions.held(tx, id)
            await _own(tx, who, held.customer_id)
        return hold_view(held)

    @routes.post(
        "/holds/{id}/commit",
        status_code=201,
        response_model=RedemptionView,
        responses={**answers(examples.REDEMPTION, 201), **_GONE},
    )
    async def commit(id: Id, who: Writer, attempt: Key, response: Response, asked: AskedCommit) -> RedemptionView:
        """Uses what is held, or `points` of it. 409 once the hold is void, committed or has run out."""
        redemption_id = redemptions.new_id(REDEMPTION)
        committing = Commit(id, redemption_id, asked.points, asker=who.customer_id)
        redeemed = await teller.serve(Claim(attempt, 201, redemption_id), committing)
        return _shown(await _latest(who, redeemed, response, redemptions.one))

    @routes.post("/holds/{id}/void", response_model=HoldView, responses={**answers(examples.HOLD), **_GONE})
    async def void(id: Id, who: Writer, attempt: Key, response: Response) -> HoldView:
        """Gives back what is still held."""
        voiding = Void(id, asker=who.customer_id)
        held = await teller.serve(Claim(attempt, 200, id), voiding)
        return hold_view(await _latest(who, held, response, redemptions.held))

    @routes.post(
        "/redemptions",
        status_code=201,
        response_model=RedemptionView,
        responses={**answers(examples.REDEMPTION, 201), **_GONE},
    )
    async def redeem(asked: Asked, who: Writer, attempt: Key, response: Response) -> RedemptionView:
        """Quote, hold and commit at once: points, stock and code, or nothing."""
        id = redemptions.new_id(REDEMPTION)
        command = Redeem(id, asked.customer_id, asked.terms(), asker=who.customer_id)
        with told(to_customer=who.customer_id is not None):
            redeemed = await teller.serve(Claim(attempt, 201, id), command)
        return _shown(await _latest(who, redeemed, response, redemptions.one))

    @routes.get("/redemptions/{id}", response_model=RedemptionView, responses={**answers(examples.REDEMPTION), **_GONE})
    async def read(id: Id, who: Annotated[Principal, requires("loyalty:read")]) -> RedemptionView:
        """A redemption as it is now."""
        async with db.transaction() as tx:
            redeemed = await redemptions.one(tx, id)
            await _own(tx, who, redeemed.customer_id)
        return _shown(redeemed)

    @routes.post(
        "/redemptions/{id}/rollback",
        response_model=RedemptionView,
        responses={**answers(examples.REDEMPTION), **_GONE},
    )
    async def roll_back(
        id: Id, asked: AskedRollback, who: Staff, attempt: Key, response: Response
    ) -> RedemptionView:
        """Takes a redemption back: the points are in the very lots they came from, with the dates these have; its
        coupon is void. 409 where that was used, or where the reward was handed over."""
        async with db.transaction() as tx:
            if replay := await attempt.claim(tx):
                replay.mark(response)
                return _shown(await redemptions.one(tx, replay.resource_id))
            redeemed = await redemptions.roll_back(tx, id, asked.reason)
            await attempt.remember(tx, status=200, resource_id=id)
        return _shown(redeemed)

    @routes.post(
        "/redemptions/{id}/fulfilment",
        response_model=RedemptionView,
        responses={**answers(examples.REDEMPTION), **_GONE},
    )
    async def fulfil(
        id: Id, asked: AskedFulfilment, who: Staff, attempt: Annotated[Attempt, idempotency_key()], response: Response
    ) -> RedemptionView:
        """Says where handing over has got to."""
        async with db.transaction() as tx:
            if replay := await attempt.claim(tx):
                replay.mark(response)
                return _shown(await redemptions.one(tx, replay.resource_id))
            redeemed = await redemptions.hand_over(tx, id, asked.state)
            await attempt.remember(tx, status=200, resource_id=id)
        return _shown(redeemed)

    @routes.get(
        "/accounts/{customer_id}/redemptions",
        response_model=Page[RedemptionView],
        responses={**page(examples.REDEMPTION), 404: documented(404)},
    )
    async def listed(
        customer_id: CustomerId, who: Annotated[Principal, requires("loyalty:read")], paging: PageRequest
    ) -> Page[RedemptionView]:
        """A customer's redemptions, the newest first, with where handing over has got to."""
        before = paging.after(tuple[datetime, str]) or (_END, "")
        async with db.transaction() as tx:
            holder = await holder_of(tx, customer_id)
            own_or_404(who, customer_id, *holder.ids)
            if not holder.accounts:
                raise not_found()
            found = await redemptions.page(tx, holder, before, paging.limit + 1)
        cursor = paging.next_cursor(found, lambda one: (one.redemption.redeemed_at, one.redemption.redemption_id))
        return Page(items=[_shown(one) for one in found[: paging.limit]], next_cursor=cursor)

    async def _own(tx: Tx, who: Principal, customer: str) -> None:
        if who.customer_id is not None:
            own_or_404(who, customer, *(await holder_of(tx, customer)).ids)

    async def _latest(
        who: Principal, answer: _Theirs | Replay, response: Response, read: Callable[[Tx, str], Awaitable[_Theirs]]
    ) -> _Theirs:
        """What became of a first request is shown as it is now, so only to whom it is now."""
        if not isinstance(answer, Replay):
            return answer
        answer.mark(response)
        async with db.transaction() as tx:
            found = await read(tx, answer.resource_id)
            await _own(tx, who, found.customer_id)
        return found

    def _shown(redeemed: Redeemed) -> RedemptionView:
        return redemption_view(redeemed, redemptions.clock.now())

    return routes


def short(error: ShortOfPointsError) -> ProblemError:
    """Too few points, as a problem."""
    return conflict("insufficient-points", f"{error.shortfall} points are missing.", shortfall=error.shortfall)


def too_many(error: TooManyLotsError) -> ProblemError:
    """Points of too many lots, as a problem."""
    detail = f"These are the points of very many purchases: use at most {error.points} at once."
    return conflict("too-many-lots", detail, points=error.points)


def refused(error: RedemptionRefusedError) -> ProblemError:
    """What can't be any more, as a problem."""
    return conflict(error.code, error.detail)


ERRORS: dict[type[Exception], Callable[[Any], ProblemError]] = {
    ShortOfPointsError: short,
    RedemptionRefusedError: refused,
    NotThereError: lambda _: not_found(),
    TooManyLotsError: too_many,
}
"""How what can't be comes out."""
