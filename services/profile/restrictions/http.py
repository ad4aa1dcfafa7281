"""The routes by which a file is restricted."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import Body
from pydantic import BaseModel, ConfigDict, StringConstraints

from services.profile import examples
from services.profile.customers.application import Customers
from services.profile.fields import CustomerInPath, outgoing_trace, request_cause
from services.profile.identities.application import person
from services.profile.restrictions.application import Restrictions
from services.profile.restrictions.domain import Restriction
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires, staff_only
from shared.http.problems import not_found
from shared.http.routing import Router
from shared.service import Wake

_WHY = {"reason": "asked for erasure; invoices are kept for 5 years by law"}
_RESTRICTION: dict[str, Any] = {
    "customer_id": examples.CUSTOMER_ID,
    "restricted": True,
    **_WHY,
    "restricted_by": "staff:7",
    "restricted_at": "2026-11-20T08:15:00Z",
}
_LIFTED = {
    "customer_id": examples.CUSTOMER_ID, "restricted": False, "reason": None, "restricted_by": None,
    "restricted_at": None,
}  # fmt: skip


class Why(BaseModel):
    """Why a file is to be stored and not used."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class RestrictionView(BaseModel):
    """Whether a file is restricted: nobody writes to him, and lists, members of segments and offers leave him out.
    ``restricted_by`` is told to staff alone."""

    customer_id: str
    restricted: bool
    reason: str | None
    restricted_by: str | None
    restricted_at: datetime | None


def restrictions_router(restrictions: Restrictions, customers: Customers, db: Database, wake: Wake) -> Router:
    """``GET|PUT|DELETE /customers/{customer_id}/restriction``."""
    router = Router(tags=["privacy"])
    path = "/customers/{customer_id}/restriction"

    @router.get(path, responses=examples.answer(_RESTRICTION))
    async def read_restriction(
        who: Annotated[Principal, requires("profile:read")], customer_id: CustomerInPath
    ) -> RestrictionView:
        """Whether a file is restricted, and why; the customer himself may ask, and isn't told by whom."""
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            if not await customers.exists(tx, asked.customer_id):
                raise not_found()
            found = await restrictions.standing(tx, asked)
        if found and who.customer_id is not None:
            found = msgspec.structs.replace(found, restricted_by=None)
        return _view(asked.customer_id, found)

    @router.put(path, responses=examples.answer(_RESTRICTION))
    async def restrict(
        who: Annotated[Principal, staff_only("profile:write")],
        customer_id: CustomerInPath,
        why: Annotated[Why, Body(examples=[_WHY])],
    ) -> RestrictionView:
        """Stores the file and uses it no more, where it can't be erased. Again it changes nothing, so it takes no
        If-Match; the first reason stands."""
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            found = await restrictions.restrict(tx, asked, why.reason, who.subject, request_cause(), outgoing_trace())
        if found is None:
            raise not_found()
        wake()
        return _view(asked.customer_id, found)

    @router.delete(path, responses=examples.answer(_LIFTED))
    async def lift(
        who: Annotated[Principal, staff_only("profile:write")], customer_id: CustomerInPath
    ) -> RestrictionView:
        """Lifts the restriction; where there is none, nothing changes."""
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            if not await restrictions.lift(tx, asked, who.subject, request_cause(), outgoing_trace()):
                raise not_found()
        wake()
        return _view(asked.customer_id, None)

    return router


def _view(customer_id: str, found: Restriction | None) -> RestrictionView:
    return RestrictionView(
        customer_id=customer_id,
        restricted=found is not None,
        reason=found.reason if found else None,
        restricted_by=found.restricted_by if found else None,
        restricted_at=found.restricted_at if found else None,
    )
