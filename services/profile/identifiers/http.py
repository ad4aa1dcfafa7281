"""The routes of identifiers, and of finding a customer by what a till knows of him."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Body, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from services.profile import examples
from services.profile.accesses.application import showed
from services.profile.customers.application import Customers
from services.profile.customers.contact_points import InvalidContactPoint
from services.profile.fields import CustomerInPath, Id
from services.profile.identifiers.application import Ambiguous, Identifiers
from services.profile.identifiers.domain import Identifier, IdentifierKind, InvalidIdentifier, Taken
from services.profile.identities.application import person
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import conflict, documented, invalid, not_found
from shared.http.routing import Router

Reader = Annotated[Principal, requires("profile:read")]
Till = Annotated[Principal, staff_only("profile:read")]
Writer = Annotated[Principal, staff_only("profile:write")]
IdentifierInPath = Annotated[str, Path(pattern=r"^i_[0-9a-f]{32}$")]

_NEW = {"kind": "card", "value": "8860 0001 2345", "verified": True}
_KEPT = {
    "identifier_id": "i_0c1d5ea0d3a14d5f8a3c2b1e4f5a6b7c",
    "customer_id": examples.CUSTOMER_ID,
    "kind": "card",
    "value": "886000012345",
    "verified": True,
    "recorded_at": "2026-11-20T08:15:00Z",
}
_ASKED = {"kind": "phone", "value": "+886223456789"}


class NewIdentifier(BaseModel):
    """A member number or a card, in any common spelling, or another system's own id, to the letter."""

    model_config = ConfigDict(extra="forbid")

    kind: IdentifierKind
    value: Id
    verified: Annotated[bool, Field(description="The card was there, or the number was checked")] = False


class IdentifierView(NewIdentifier):
    """An identifier as it is kept."""

    identifier_id: str
    customer_id: str
    recorded_at: datetime


class Lookup(BaseModel):
    """An address or an identifier as the customer says it, in any common spelling."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["phone", "email", "messaging"] | IdentifierKind
    value: Id


class Found(BaseModel):
    """Who it is: the id that answers for all his ids."""

    customer_id: str


def identifiers_router(identifiers: Identifiers, customers: Customers, db: Database) -> Router:
    """``GET|POST /customers/{customer_id}/identifiers``, ``DELETE …/{identifier_id}``, ``POST /lookups``."""
    router = Router(tags=["identities"])
    path = "/customers/{customer_id}/identifiers"

    @router.get(path, responses=examples.answer({"items": [_KEPT], "next_cursor": None}))
    async def list_identifiers(who: Reader, customer_id: CustomerInPath, paging: PageRequest) -> Page[IdentifierView]:
        """What other systems know a customer by."""
        after = paging.after(tuple[str])
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            if not await customers.exists(tx, asked.customer_id):
                raise not_found()
            found = await identifiers.page(tx, asked, after[0] if after else None, paging.limit + 1)
        cursor = paging.next_cursor(found, lambda one: (one.identifier_id,))
        return Page(items=[_view(one) for one in found[: paging.limit]], next_cursor=cursor)

    @router.post(path, status_code=201, responses=examples.answer(_KEPT, 201))
    async def add_identifier(
        _: Writer,
        attempt: Annotated[Attempt, idempotency_key()],
        customer_id: CustomerInPath,
        new: Annotated[NewIdentifier, Body(examples=[_NEW])],
        response: Response,
    ) -> IdentifierView:
        """Keeps an identifier; 409 `identifier-taken` where it is another customer's.

        Where that one's is verified, and this one, too, the two are one person, if the policy `merging` names the kind
        and nothing speaks against it: they are joined, and the answer is the identifier as he has it.
        """
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if new.verified:
                await identifiers.hold(tx)
            asked = await person(tx, customer_id)
            if replay is not None:
                replay.mark(response)
                return _view(await identifiers.find(tx, asked, replay.resource_id))
            try:
                kept = _view(await identifiers.add(tx, asked, new.kind, new.value, verified=new.verified))
            except InvalidIdentifier as error:
                raise invalid("/value", str(error), code=error.code) from error
            except Taken as error:
                showed([error.holder])
                detail = "Another customer has it; are they one person?"
                raise conflict("identifier-taken", detail, customer_id=error.holder) from error
            await attempt.remember(tx, status=201, resource_id=kept.identifier_id)
        return kept

    @router.delete(f"{path}/{{identifier_id}}", responses=examples.answer(_KEPT))
    async def remove_identifier(
        _: Writer, customer_id: CustomerInPath, identifier_id: IdentifierInPath
    ) -> IdentifierView:
        """Takes an identifier away, a lost card say, and answers what it was."""
        async with db.transaction() as tx:
            return _view(await identifiers.remove(tx, await person(tx, customer_id), identifier_id))

    @router.post(
        "/lookups",
        responses={**examples.answer({"customer_id": examples.CUSTOMER_ID}), 404: documented(404)},
    )
    async def look_up(_: Till, asked: Annotated[Lookup, Body(examples=[_ASKED])]) -> Found:
        """Whose an address or an identifier is. It changes nothing, so it takes no Idempotency-Key; the value stays out
        of URLs."""
        async with db.transaction() as tx:
            try:
                found = await identifiers.whose(tx, asked.kind, asked.value)
            except (InvalidContactPoint, InvalidIdentifier) as error:
                raise invalid("/value", str(error), code=error.code) from error
            except Ambiguous as error:
                raise conflict("ambiguous", "Several customers have it.") from error
        if found is None:
            raise not_found()
        showed([found])
        return Found(customer_id=found)

    return router


def _view(identifier: Identifier | None) -> IdentifierView:
    if identifier is None:
        raise not_found()
    return IdentifierView(
        identifier_id=identifier.identifier_id,
        customer_id=identifier.customer_id,
        kind=identifier.kind,
        value=identifier.value,
        verified=identifier.verified,
        recorded_at=identifier.recorded_at,
    )
