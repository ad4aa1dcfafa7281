"""The routes of consent."""

from datetime import datetime
from typing import Annotated

from fastapi import Body
from pydantic import BaseModel, ConfigDict

from services.profile import examples
from services.profile.consents.application import Consents
from services.profile.consents.domain import Consent
from services.profile.customers.application import Customers
from services.profile.fields import CustomerInPath, Id, outgoing_trace, request_cause
from services.profile.identities.application import person
from shared.clock import Clock
from shared.contracts.customers import ContactChannel, Purpose
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires
from shared.http.pagination import Page, PageRequest
from shared.http.problems import not_found
from shared.http.routing import Router
from shared.service import Wake

_SAID = {"granted": True, "source": "account-page", "wording_version": "2026-1"}
_ENTRY = {"channel": "email", "purpose": "marketing", **_SAID, "recorded_at": "2026-11-20T08:15:00Z"}


class Saying(BaseModel):
    """What the customer said, where (``source``), and in answer to which wording."""

    model_config = ConfigDict(extra="forbid")

    granted: bool
    source: Id
    wording_version: Id


class ConsentView(Saying):
    """The entry in force for a channel and purpose."""

    channel: ContactChannel
    purpose: Purpose
    recorded_at: datetime


class ConsentEntryView(ConsentView):
    """A line of the ledger, under the id of his that it was written for."""

    customer_id: str


class ConsentsView(BaseModel):
    """What is in force. What isn't listed was never asked: consent for nothing but service messages."""

    items: list[ConsentView]


def consents_router(consents: Consents, customers: Customers, db: Database, clock: Clock, wake: Wake) -> Router:
    """``GET /customers/{customer_id}/consents``, ``GET …/consents/history``, ``PUT …/consents/{channel}/{purpose}``."""
    router = Router(tags=["consents"])

    @router.get("/customers/{customer_id}/consents", responses=examples.answer({"items": [_ENTRY]}))
    async def read_consents(
        who: Annotated[Principal, requires("profile:read")], customer_id: CustomerInPath
    ) -> ConsentsView:
        """What a customer agreed to, by channel and purpose, under all his ids."""
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            if not await customers.exists(tx, asked.customer_id):
                raise not_found()
            in_force = await consents.in_force(tx, asked)
        return ConsentsView(items=[_view(consent) for consent in in_force])

    @router.get(
        "/customers/{customer_id}/consents/history",
        responses=examples.answer({"items": [{**_ENTRY, "customer_id": "pos:1001"}], "next_cursor": None}),
    )
    async def read_ledger(
        who: Annotated[Principal, requires("profile:read")], customer_id: CustomerInPath, paging: PageRequest
    ) -> Page[ConsentEntryView]:
        """All that a customer ever agreed to or took back, under all his ids, the last written first: the proof that
        he was asked, where and in which words."""
        after = paging.after(tuple[int])
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            if not await customers.exists(tx, asked.customer_id):
                raise not_found()
            found = await consents.page(tx, asked, after[0] if after else None, paging.limit + 1)
        cursor = paging.next_cursor(found, lambda entry: (entry.entry_id,))
        shown = found[: paging.limit]
        items = [ConsentEntryView(customer_id=one.customer_id, **_view(one.consent).model_dump()) for one in shown]
        return Page(items=items, next_cursor=cursor)

    @router.put("/customers/{customer_id}/consents/{channel}/{purpose}", responses=examples.answer(_ENTRY))
    async def put_consent(
        who: Annotated[Principal, requires("profile:write")],
        customer_id: CustomerInPath,
        channel: ContactChannel,
        purpose: Purpose,
        saying: Annotated[Saying, Body(examples=[_SAID])],
    ) -> ConsentView:
        """Adds an entry to the ledger; a customer's own token may. The last entry holds, so it needs no If-Match."""
        consent = Consent(channel, purpose, saying.granted, saying.source, saying.wording_version, clock.now())
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            if not await consents.put(tx, asked, consent, request_cause(), outgoing_trace()):
                raise not_found()
        wake()
        return _view(consent)

    return router


def _view(consent: Consent) -> ConsentView:
    return ConsentView(
        channel=consent.channel,
        purpose=consent.purpose,
        granted=consent.granted,
        source=consent.source,
        wording_version=consent.wording_version,
        recorded_at=consent.recorded_at,
    )
