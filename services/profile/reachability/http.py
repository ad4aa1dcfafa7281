"""The one call between services: engagement asks it at hand-off."""

from typing import Annotated

from fastapi import Body
from pydantic import BaseModel, ConfigDict, Field

from services.profile import examples
from services.profile.accesses.application import showed
from services.profile.fields import CustomerId
from services.profile.reachability.application import WhyNot, reach
from services.profile.vault.application import Vault
from shared.contracts.customers import ContactChannel, Purpose
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.routing import Router

MAX_ITEMS = 500
_ASKED = {"purpose": "marketing", "items": [{"customer_id": examples.CUSTOMER_ID, "channel": "email"}]}
_TOLD = {
    "customer_id": examples.CUSTOMER_ID,
    "channel": "email",
    "address": "customer@example.com",
    "consent": True,
    "locale": "zh-TW",
    "time_zone": "Asia/Taipei",
    "name": "Example Customer",
    "why_not": None,
    "person_id": None,
}


class ReachItem(BaseModel):
    """A customer and a channel."""

    model_config = ConfigDict(extra="forbid")

    customer_id: CustomerId
    channel: ContactChannel


class ReachRequest(BaseModel):
    """One purpose for all items."""

    model_config = ConfigDict(extra="forbid")

    purpose: Purpose
    items: list[ReachItem] = Field(max_length=MAX_ITEMS)


class ReachView(BaseModel):
    """``address`` is null and ``consent`` false where nothing is known, and where the file is restricted. ``why_not``:
    he isn't to be written to. ``person_id``: of a company the person whose name and address they are."""

    customer_id: str
    channel: ContactChannel
    address: str | None
    consent: bool
    locale: str | None
    time_zone: str | None
    name: str | None
    why_not: WhyNot | None
    person_id: str | None


class ReachAnswer(BaseModel):
    """An item for each one asked, in the same order."""

    items: list[ReachView]


def reachability_router(vault: Vault, db: Database) -> Router:
    """``POST /internal/reachability``."""
    router = Router(tags=["internal"])

    @router.post("/internal/reachability", responses=examples.answer({"items": [_TOLD]}))
    async def reachability(
        _: Annotated[Principal, staff_only("internal")],
        asked: Annotated[ReachRequest, Body(examples=[_ASKED])],
    ) -> ReachAnswer:
        """Addresses and consent at hand-off; it changes nothing, so it takes no Idempotency-Key."""
        async with db.transaction() as tx:
            items = [(item.customer_id, item.channel) for item in asked.items]
            found = await reach(tx, vault.opener, asked.purpose, items)
        showed(one.customer_id for one in found if one.why_not != "unknown")
        return ReachAnswer(
            items=[
                ReachView(
                    customer_id=one.customer_id,
                    channel=one.channel,
                    address=one.address,
                    consent=one.consent,
                    locale=one.locale,
                    time_zone=one.time_zone,
                    name=one.name,
                    why_not=one.why_not,
                    person_id=one.person_id,
                )
                for one in found
            ]
        )

    return router
