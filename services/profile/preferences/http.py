"""The routes of what a customer wishes: on which channel, at which hours, how often."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from services.profile import examples
from services.profile.customers.application import Customers
from services.profile.customers.domain import CustomerFile, Saying
from services.profile.customers.shapes import HOURS
from services.profile.fields import CustomerInPath, outgoing_trace, request_cause
from services.profile.identities.application import person
from shared.contracts.customers import ContactChannel
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires
from shared.http.etags import Precondition, etag, if_match
from shared.http.problems import not_found
from shared.http.routing import Router
from shared.service import Wake

_WISHES: dict[str, Any] = {"channel": "email", "hours": "10:00-18:00", "frequency": 30}


class Preferences(BaseModel):
    """``hours``: the house's clock or the customer's own zone, from-to; ``frequency``: days between two contacts at the
    least. What is null, or absent from a PUT, is left to the house's policy."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _WISHES})

    channel: ContactChannel | None = None
    hours: Annotated[str, Field(pattern=HOURS)] | None = None
    frequency: Annotated[int, Field(ge=1, le=3650)] | None = None


def preferences_router(customers: Customers, db: Database, wake: Wake) -> Router:
    """``GET|PUT /customers/{customer_id}/preferences``; a customer's own token may do both."""
    router = Router(tags=["preferences"])

    @router.get("/customers/{customer_id}/preferences", responses=examples.answer(_WISHES, **examples.ETAG))
    async def read_preferences(
        who: Annotated[Principal, requires("profile:read")], customer_id: CustomerInPath, response: Response
    ) -> Preferences:
        """What the customer wishes. The ETag is that of the customer's file, where these fields stand."""
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            return _view(await customers.find(tx, asked.customer_id), response)

    @router.put("/customers/{customer_id}/preferences", responses=examples.answer(_WISHES, **examples.ETAG))
    async def put_preferences(
        who: Annotated[Principal, requires("profile:write")],
        customer_id: CustomerInPath,
        match: Annotated[Precondition, if_match()],
        wishes: Preferences,
        response: Response,
    ) -> Preferences:
        """Replaces what the customer wishes; engagement plans by it."""

        def edit(file: CustomerFile) -> Mapping[str, Any]:
            match.require(file.version)
            return {
                "preferred_channel": wishes.channel,
                "preferred_hours": wishes.hours,
                "preferred_every_days": wishes.frequency,
            }

        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            file = await customers.change(
                tx, asked.customer_id, edit, request_cause(), outgoing_trace(), saying=Saying(who.subject)
            )
            shown = _view(file, response)
        wake()
        return shown

    return router


def _view(file: CustomerFile | None, response: Response) -> Preferences:
    if file is None:
        raise not_found()
    response.headers["ETag"] = etag(file.version)
    return Preferences(
        channel=file.preferred_channel, hours=file.preferred_hours, frequency=file.preferred_every_days
    )
