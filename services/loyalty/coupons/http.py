"""Coupons over HTTP: a customer reads his own, tills use them up, staff issue and void them."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Body, Path, Response

from services.loyalty.coupons import examples
from services.loyalty.coupons.application import Batch, Coupons
from services.loyalty.coupons.bodies import (
    MAX_CUSTOMERS,
    BatchBody,
    BatchView,
    ConflictView,
    CouponView,
    Releasing,
    Reserving,
    Using,
    batch_view,
    conflict_view,
    view,
)
from services.loyalty.coupons.codes import Code, Mistyped, read_code
from services.loyalty.coupons.domain import Coupon, CouponRefused
from services.loyalty.ledger.reading import holder_of
from services.loyalty.openapi import answers, page
from services.loyalty.requests import request_cause
from services.loyalty.segments.application import members
from shared.contracts.erasures import PSEUDONYM
from shared.contracts.types import CUSTOMER_ID, PRINTABLE, Money
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import FieldError, ProblemError, conflict, documented, invalid, not_found
from shared.http.routing import Router
from shared.messaging import merges
from shared.messaging.erased import CODE, Erased
from shared.service import Wake

_ID = CUSTOMER_ID.removesuffix(r"(?!\n)")
_PRINTABLE = PRINTABLE.removesuffix(r"(?!\n)")
Reader = Annotated[Principal, requires("loyalty:read")]
Writer = Annotated[Principal, staff_only("loyalty:write")]
CodeInPath = Annotated[str, Path(pattern=_PRINTABLE, description="In upper or lower case, with or without hyphens")]
BatchId = Annotated[str, Path(pattern=_PRINTABLE)]


def router(db: Database, coupons: Coupons, erased: Erased, wake: Wake) -> Router:
    """``/coupons/{code}`` and what is done with it, ``/coupons/batches``, ``/accounts/{customer_id}/coupons``."""
    routes = Router(tags=["coupons"])

    @routes.post(
        "/coupons/batches", status_code=201, response_model=BatchView, responses=answers(examples.BATCH, 201)
    )
    async def issue(
        body: BatchBody,
        response: Response,
        who: Writer,
        attempt: Annotated[Attempt, idempotency_key(required=True)],
    ) -> BatchView:
        """Issues a coupon to each of up to 10,000 customers, all or none: 409 `customer-erased` names those who were
        erased. Of a `segment`, `regulars` or `lifecycle:active`, each person gets one, under the id that answers for
        him; 409 `segment-empty`, `segment-too-large`. Each is told by `coupon-issued`."""
        _require_once(body.customers or [])
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                return batch_view(await coupons.batch(tx, replay.resource_id))
            await merges.share(tx)
            customers = body.customers or await _persons_in(tx, body.segment or "")
            await _require_known(tx, erased, customers)
            terms = body.coupon.document()
            batch = await coupons.issue_batch(tx, customers, terms, body.reason, request_cause())
            await attempt.remember(tx, status=201, resource_id=batch.batch_id)
        wake()
        return batch_view(batch)

    @routes.get("/coupons/batches/{id}", response_model=BatchView, responses=answers(examples.BATCH))
    async def read_batch(id: BatchId, who: Annotated[Principal, staff_only("loyalty:read")]) -> BatchView:
        """A batch of coupons."""
        async with db.transaction() as tx:
            return batch_view(await _batch_there(tx, id))

    @routes.get(
        "/coupons/batches/{id}/coupons", response_model=Page[CouponView], responses=page(examples.COUPON)
    )
    async def coupons_of_batch(id: BatchId, who: Writer, paging: PageRequest) -> Page[CouponView]:
        """The coupons of a batch with their codes: to print them, or to send them."""
        after = paging.after(tuple[str])
        async with db.transaction() as tx:
            await _batch_there(tx, id)
            found = await coupons.of_batch(tx, id, after[0] if after else None, paging.limit + 1)
        cursor = paging.next_cursor(found, lambda coupon: (coupon.coupon_id,))
        return Page(items=[view(coupon, who) for coupon in found[: paging.limit]], next_cursor=cursor)

    @routes.get("/coupons/conflicts", response_model=Page[ConflictView], responses=page(examples.CONFLICT))
    async def conflicts(
        who: Annotated[Principal, staff_only("loyalty:read")], paging: PageRequest
    ) -> Page[ConflictView]:
        """Purchases that name coupons which they don't have, the newest first, and why: `coupon-redeemed` (by an
        earlier order, or at a till), `coupon-expired`, `coupon-voided`, `not-your-coupon`. They count all the same."""
        before = paging.after(tuple[datetime, str, str])
        async with db.transaction() as tx:
            found = await coupons.conflicts(tx, before, paging.limit + 1)
        cursor = paging.next_cursor(found, lambda one: (one.occurred_at, one.coupon_id, one.order_id))
        return Page(items=[conflict_view(one) for one in found[: paging.limit]], next_cursor=cursor)

    @routes.get("/coupons/{code}", response_model=CouponView, responses=answers(examples.COUPON))
    async def read(code: CodeInPath, who: Reader) -> CouponView:
        """A coupon by its code: 422 `coupon-mistyped` for what can't be one, 404 `coupon-unknown` for what isn't
        one, or isn't the caller's."""
        async with db.transaction() as tx:
            coupon = await _found(coupons.find(tx, _read(code)))
            groups = await merges.groups_of(tx, [coupon.customer_id])
        if not who.may_see(*groups.members(coupon.customer_id)):
            raise _unknown()
        return view(coupon, who)

    @routes.post(
        "/coupons/{code}/reserve",
        response_model=CouponView,
        responses={**answers(examples.RESERVED), 404: documented(404)},
    )
    async def reserve(
        code: CodeInPath,
        body: Reserving,
        response: Response,
        who: Writer,
        attempt: Annotated[Attempt, idempotency_key()],
    ) -> CouponView:
        """Keeps a coupon for an order that isn't paid yet; no other can use it until then, and after that it is as if
        it had not been reserved. Used at once, where it was given back for that order, whose purchase has named it."""
        lasting = timedelta(minutes=body.minutes)
        reserved = await _once(
            response, attempt, who,
            lambda tx: coupons.reserve(tx, _read(code), body.order_id, lasting, request_cause()),
        )  # fmt: skip
        wake()
        return reserved

    @routes.post("/coupons/{code}/redeem", response_model=CouponView, responses=answers(examples.USED))
    async def redeem(
        code: CodeInPath,
        response: Response,
        who: Writer,
        attempt: Annotated[Attempt, idempotency_key(required=True)],
        body: Annotated[Using, Body(examples=[{"order_id": "pos:104", "customer_id": "pos:1001"}])] = Using(),  # noqa: B008
    ) -> CouponView:
        """Uses a coupon up. Of many at once one does; the others get 409 `coupon-redeemed`. 409 `coupon-reserved`,
        `coupon-expired`, `coupon-voided`, `not-your-coupon` or `min-spend-not-reached` otherwise."""
        total = Money(amount=body.total.amount, currency=body.total.currency) if body.total else None

        async def used(tx: Tx) -> Coupon:
            if body.customer_id is not None:
                await merges.share(tx)
                await erased.refuse(tx, [body.customer_id])
            return await coupons.redeem(
                tx, _read(code), request_cause(), order_id=body.order_id, customer_id=body.customer_id, total=total
            )

        redeemed = await _once(response, attempt, who, used)
        wake()
        return redeemed

    @routes.post("/coupons/{code}/release", response_model=CouponView, responses=answers(examples.COUPON))
    async def release(
        code: CodeInPath,
        response: Response,
        who: Writer,
        attempt: Annotated[Attempt, idempotency_key()],
        body: Annotated[Releasing, Body(examples=[{"order_id": "pos:104"}])] = Releasing(),  # noqa: B008
    ) -> CouponView:
        """Gives a coupon back that was reserved, or used for an order that was cancelled: it can be used again, until
        it expires; unless another order has named it, too, and so has it now. Where it was neither, nothing changes."""
        released = await _once(
            response, attempt, who,
            lambda tx: coupons.release(tx, _read(code), body.order_id, request_cause()),
        )  # fmt: skip
        wake()
        return released

    @routes.post("/coupons/{code}/void", response_model=CouponView, responses=answers(examples.VOIDED))
    async def void(
        code: CodeInPath, response: Response, who: Writer, attempt: Annotated[Attempt, idempotency_key()]
    ) -> CouponView:
        """Makes a coupon worthless for good; 409 `coupon-redeemed` where it was used."""
        return await _once(response, attempt, who, lambda tx: coupons.void(tx, _read(code)))

    @routes.get(
        "/accounts/{customer_id}/coupons", response_model=Page[CouponView], responses=page(examples.COUPON)
    )
    async def coupons_of(
        customer_id: Annotated[str, Path(pattern=_ID)], who: Reader, paging: PageRequest
    ) -> Page[CouponView]:
        """A customer's coupons under all his ids, the newest first."""
        before = paging.after(tuple[datetime, str])
        async with db.transaction() as tx:
            holder = await holder_of(tx, customer_id)
            own_or_404(who, customer_id, *holder.ids)
            found = await coupons.page(tx, holder.ids, before, paging.limit + 1)
        if not (found or before or holder.accounts):
            raise not_found()
        cursor = paging.next_cursor(found, lambda coupon: (coupon.issued_at, coupon.coupon_id))
        return Page(items=[view(coupon, who) for coupon in found[: paging.limit]], next_cursor=cursor)

    async def _once(
        response: Response, attempt: Attempt, who: Principal, change: Callable[[Tx], Awaitable[Coupon]]
    ) -> CouponView:
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                return view(await coupons.by_id(tx, replay.resource_id), who)
            coupon = await _found(change(tx))
            await attempt.remember(tx, status=200, resource_id=coupon.coupon_id)
        return view(coupon, who)

    async def _batch_there(tx: Tx, batch_id: str) -> Batch:
        try:
            return await coupons.batch(tx, batch_id)
        except LookupError:
            raise not_found() from None

    return routes


def refused(error: CouponRefused) -> ProblemError:
    """What a coupon can't do now, as a problem: 409, with `at` where it says since when."""
    return conflict(error.code, error.detail, **({"at": error.at} if error.at else {}))


async def _found(looking: Awaitable[Coupon]) -> Coupon:
    try:
        return await looking
    except LookupError:
        raise _unknown() from None


def _unknown() -> ProblemError:
    return ProblemError(404, "coupon-unknown", "There is no coupon of this code that you may see.")


def _read(typed: str) -> Code:
    try:
        return read_code(typed)
    except Mistyped as error:
        raise invalid("/path/code", str(error), code="coupon-mistyped") from None


def _require_once(customers: list[str]) -> None:
    seen: set[str] = set()
    for number, customer in enumerate(customers):
        if customer in seen:
            raise invalid(f"/customers/{number}", "this customer is named before")
        seen.add(customer)


async def _persons_in(tx: Tx, segment: str) -> list[str]:
    ids = await members(tx, segment, MAX_CUSTOMERS + 1)
    if len(ids) > MAX_CUSTOMERS:
        raise conflict("segment-too-large", f"A batch is for {MAX_CUSTOMERS} customers at the most.")
    if not ids:
        raise conflict("segment-empty", "Nobody is in this segment.")
    groups = await merges.groups_of(tx, ids)
    return sorted({groups.survivor(one) for one in ids})


async def _require_known(tx: Tx, erased: Erased, customers: list[str]) -> None:
    gone = await erased.find(tx, customers)
    nobody = [n for n, one in enumerate(customers) if one in gone or one.startswith(PSEUDONYM)]
    if nobody:
        errors = [FieldError(pointer=f"/customers/{number}", message="was erased") for number in nobody]
        raise ProblemError(409, CODE, "Nothing is made for customers who were erased.", errors=errors)
