"""The catalogue over HTTP: staff keep it, customers see what is active of it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import Body, Path, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.loyalty.ledger.reading import holder_of
from services.loyalty.openapi import answers, page
from services.loyalty.rewards import examples
from services.loyalty.rewards.application import Rewards, offer, offered_to
from services.loyalty.rewards.bodies import RewardBody, RewardOffer, RewardView, offered, view
from services.loyalty.rewards.domain import Refused, Reward, StockTaken
from shared.contracts.types import CUSTOMER_ID, PRINTABLE
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires, staff_only
from shared.http.etags import Precondition, etag, if_match
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import ProblemError, conflict, documented, invalid, not_found
from shared.http.routing import Router

Reader = Annotated[Principal, requires("loyalty:read")]
Writer = Annotated[Principal, staff_only("loyalty:write")]
RewardId = Annotated[str, Path(pattern=PRINTABLE.removesuffix(r"(?!\n)"))]
_PATCH_BODY = {"application/merge-patch+json": {"schema": {"type": "object"}, "example": examples.PATCH}}


def router(db: Database, rewards: Rewards) -> Router:
    """``GET|POST /rewards``, ``GET|PATCH /rewards/{id}``."""
    routes = Router(prefix="/rewards", tags=["rewards"])

    @routes.get("", response_model=Page[RewardOffer], responses={**page(examples.OFFER), 404: documented(404)})
    async def listed(
        who: Reader,
        paging: PageRequest,
        customer_id: Annotated[str | None, Query(pattern=CUSTOMER_ID.removesuffix(r"(?!\n)"))] = None,
    ) -> Page[RewardOffer]:
        """The rewards, the newest first; to a customer's token the active ones. With `customer_id` those that are
        active, each with whether he could take it now, and everything that keeps him from it."""
        after = paging.after(tuple[str])
        active = customer_id is not None or who.customer_id is not None
        async with db.transaction() as tx:
            accounts = None if customer_id is None else await _accounts(tx, who, customer_id)
            found = await rewards.page(tx, after[0] if after else None, paging.limit + 1, active=active)
            shown = found[: paging.limit]
            if who.customer_id is not None:
                own = (await holder_of(tx, who.customer_id)).accounts
                shown = [_to_customer(reward) for reward in await offered_to(tx, shown, own)]
            standings = [None for _ in shown] if accounts is None else await rewards.standings(tx, shown, accounts)
        cursor = paging.next_cursor(found, lambda reward: (reward.reward_id,))
        return Page(items=list(map(offered, shown, standings)), next_cursor=cursor)

    @routes.post(
        "", status_code=201, response_model=RewardView, responses=answers(examples.REWARD, 201, **examples.ETAG)
    )
    async def add(
        body: RewardBody, response: Response, who: Writer, attempt: Annotated[Attempt, idempotency_key()]
    ) -> RewardView:
        """Adds a reward to the catalogue."""
        _in_house_currency(body, rewards.currency)
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                return _shown(await offer(tx, replay.resource_id, rewards.clock.now()), response)
            reward = await rewards.add(tx, body.document())
            await attempt.remember(tx, status=201, resource_id=reward.reward_id)
        return _shown(reward, response)

    @routes.get("/{id}", response_model=RewardView, responses=answers(examples.REWARD, **examples.ETAG))
    async def read(id: RewardId, response: Response, who: Reader) -> RewardView:
        """A reward; to a customer's token an active one."""
        async with db.transaction() as tx:
            try:
                reward = await offer(tx, id, rewards.clock.now())
            except LookupError:
                raise not_found() from None
            if who.customer_id is not None:
                own = (await holder_of(tx, who.customer_id)).accounts
                if not reward.active or not await offered_to(tx, [reward], own):
                    raise not_found()
                reward = _to_customer(reward)
        return _shown(reward, response)

    @routes.patch(
        "/{id}",
        response_model=RewardView,
        responses=answers(examples.REWARD, **examples.ETAG),
        openapi_extra={"requestBody": {"content": _PATCH_BODY}},
    )
    async def change(
        id: RewardId,
        response: Response,
        who: Writer,
        match: Annotated[Precondition, if_match()],
        patch: Annotated[dict[str, Any], Body(examples=[examples.PATCH])],
    ) -> RewardView:
        """Changes a reward by a JSON merge patch (RFC 7396), as a new version: what was taken before stays as it was.

        The version says nothing of `stock_left`, which changes as rewards are taken. 409 `stock-taken` where more is
        taken, or on hold, than `stock` would be.
        """

        def edit(reward: Reward, before: Mapping[str, Any]) -> Mapping[str, Any]:
            match.require(reward.version)
            document = _merged(before, patch)
            try:
                body = RewardBody.model_validate(document)
            except ValidationError as error:
                errors = [{**found, "loc": ("body", *found["loc"])} for found in error.errors()]
                raise RequestValidationError(errors, body=document) from error
            _in_house_currency(body, rewards.currency)
            return body.document()

        async with db.transaction() as tx:
            try:
                return _shown(await rewards.change(tx, id, edit), response)
            except LookupError:
                raise not_found() from None
            except StockTaken as error:
                raise conflict("stock-taken", f"{error.taken} are taken or on hold.", taken=error.taken) from None

    return routes


async def _accounts(tx: Tx, who: Principal, customer_id: str) -> Sequence[int]:
    holder = await holder_of(tx, customer_id)
    own_or_404(who, customer_id, *holder.ids)
    if not holder.accounts:
        raise not_found()
    return holder.accounts


def refused(error: Refused) -> ProblemError:
    """Why a reward can't be taken, as a problem: 409 by the refusal's code."""
    refusal = error.refusal
    extra: dict[str, Any] = {"earliest": refusal.earliest} if refusal.earliest else {}
    extra |= {"tiers": list(refusal.tiers)} if refusal.tiers else {}
    return conflict(refusal.code, refusal.detail, **extra)


def _to_customer(reward: Reward) -> Reward:
    """What it costs the house is the house's to know."""
    return msgspec.structs.replace(reward, cost=None)


def _in_house_currency(body: RewardBody, currency: str) -> None:
    if body.cost is not None and body.cost.currency != currency:
        raise invalid("/cost/currency", f"the house's currency is {currency}")


def _shown(reward: Reward, response: Response) -> RewardView:
    response.headers["ETag"] = etag(reward.version)
    return view(reward)


def _merged(target: Any, patch: Any) -> Any:
    """The target after a JSON merge patch (RFC 7396, 2)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result
