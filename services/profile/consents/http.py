"""The routes of consent."""

from typing import Annotated

from fastapi import Body

from services.profile import examples
from services.profile.consents.application import Consents
from services.profile.consents.domain import Consent
from services.profile.consents.shapes import (
    ConsentEntryView,
    ConsentsView,
    ConsentView,
    Saying,
    consent_view,
    entry_view,
)
from services.profile.customers.application import Customers
from services.profile.fields import CustomerInPath, outgoing_trace, request_cause
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
        return ConsentsView(items=[consent_view(consent) for consent in in_force])

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
        return Page(items=[entry_view(entry) for entry in found[: paging.limit]], next_cursor=cursor)

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
        return consent_view(consent)

    return router
