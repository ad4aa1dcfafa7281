"""The routes of contacts: which there are, what staff does with them, why and why not."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query, Response

from services.engagement.contacts import journal, staff, store
from services.engagement.contacts.domain import IllegalTransition, Status
from services.engagement.contacts.staff import UnknownContact
from services.engagement.contacts.views import (
    CONTACT,
    DECISION,
    Cancellation,
    Completion,
    ContactView,
    DecisionView,
    Rescheduling,
    contact_view,
)
from services.engagement.fields import Moment
from services.engagement.openapi import answers, page
from shared.clock import Clock
from shared.contracts.contacts import ContactPurpose
from shared.contracts.customers import ContactChannel
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires, staff_only
from shared.http.etags import etag
from shared.http.failures import DomainErrors
from shared.http.idempotency import Attempt, Replay, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import conflict, invalid, not_found
from shared.http.routing import Router
from shared.messaging import merges

Reader = Annotated[Principal, staff_only("engagement:read", "engagement:write")]
Anybody = Annotated[Principal, requires("engagement:read", "engagement:write")]
Writer = Annotated[Principal, staff_only("engagement:write")]
Once = Annotated[Attempt, idempotency_key()]
Text = Annotated[str | None, Query(max_length=128)]
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
CONTACT_ERRORS: DomainErrors = {
    UnknownContact: lambda _: not_found(),
    IllegalTransition: lambda error: conflict(f"contact-{error.current}", f"{error}."),
}


def contacts_router(db: Database, clock: Clock, wake: Callable[[], None]) -> Router:
    """The routes of contacts and decisions."""
    router = Router(tags=["contacts"])

    @router.get("/contacts", responses=page(CONTACT))
    async def list_contacts(
        _: Reader,
        paging: PageRequest,
        status: Status | None = None,
        purpose: ContactPurpose | None = None,
        channel: ContactChannel | None = None,
        assignee: Text = None,
        customer_id: Text = None,
        due_before: Moment | None = None,
    ) -> Page[ContactView]:
        """Contacts, soonest due first."""
        after = paging.after(tuple[datetime, str]) or (_FIRST, "")
        filters = {
            "status": status, "purpose": purpose, "channel": channel, "assignee": assignee,
            "customer_id": customer_id, "due_before": due_before,
        }  # fmt: skip
        async with db.transaction() as tx:
            rows = await store.listed(tx, after, paging.limit + 1, filters)
        items = [contact_view(stored) for stored in rows[: paging.limit]]
        cursor = paging.next_cursor(rows, lambda stored: (stored.contact.due_at, stored.contact.id))
        return Page(items=items, next_cursor=cursor)

    @router.get("/contacts/{id}", responses=answers(CONTACT))
    async def read_contact(principal: Anybody, id: str, response: Response) -> ContactView:
        """One contact; customers see their own."""
        async with db.transaction() as tx:
            return await _shown(tx, id, response, principal)

    @router.post("/contacts/{id}/cancel", responses=answers(CONTACT))
    async def cancel(_: Writer, once: Once, id: str, body: Cancellation, response: Response) -> ContactView:
        """A planned contact shall not be made."""
        async with db.transaction() as tx:
            if not await _replayed(tx, once, response):
                await staff.cancel(tx, id, body.reason, clock.now())
                await once.remember(tx, status=200, resource_id=id)
            shown = await _shown(tx, id, response)
        wake()
        return shown

    @router.post("/contacts/{id}/reschedule", responses=answers(CONTACT))
    async def reschedule(_: Writer, once: Once, id: str, body: Rescheduling, response: Response) -> ContactView:
        """A planned contact shall fall at another time, and stay there; the gates still hold at hand-off."""
        async with db.transaction() as tx:
            if not await _replayed(tx, once, response):
                if body.due_at <= clock.now():
                    raise invalid("/due_at", "A contact is moved into the future.")
                await staff.reschedule(tx, id, body.due_at, clock.now())
                await once.remember(tx, status=200, resource_id=id)
            shown = await _shown(tx, id, response)
        wake()
        return shown

    @router.post("/contacts/{id}/complete", responses=answers(CONTACT))
    async def complete(_: Writer, once: Once, id: str, body: Completion, response: Response) -> ContactView:
        """How it went, from the person who made the contact or looked into a doubtful mail."""
        async with db.transaction() as tx:
            if not await _replayed(tx, once, response):
                await staff.complete(tx, id, body.outcome, body.note, clock.now())
                await once.remember(tx, status=200, resource_id=id)
            shown = await _shown(tx, id, response)
        wake()
        return shown

    @router.get("/customers/{id}/next-contacts", responses=answers({"items": [CONTACT], "next_cursor": None}))
    async def next_contacts(principal: Anybody, id: str) -> Page[ContactView]:
        """The customer's open contacts under all his ids, soonest first: at most one a purpose. Nobody planned yet has
        none."""
        async with db.transaction() as tx:
            found = await store.next_of(tx, await _own_ids(tx, principal, id))
        return Page(items=[contact_view(stored) for stored in found])

    @router.get("/customers/{id}/decisions", responses=page(DECISION))
    async def decisions(principal: Anybody, id: str, paging: PageRequest) -> Page[DecisionView]:
        """Why and why not: what each gate said of the customer's contacts under all his ids, newest first."""
        after = paging.after(tuple[int])
        async with db.transaction() as tx:
            ids = await _own_ids(tx, principal, id)
            rows = await journal.decisions(tx, ids, after[0] if after else 2**62, paging.limit + 1)
        items = [DecisionView.model_validate(dict(row)) for row in rows[: paging.limit]]
        return Page(items=items, next_cursor=paging.next_cursor(rows, lambda row: (row["id"],)))

    return router


async def _own_ids(tx: Tx, principal: Principal, id: str) -> list[str]:
    """All ids of the person, whom only he himself and staff may ask for."""
    ids = (await merges.groups_of(tx, [id])).members(id)
    own_or_404(principal, *ids)
    return ids


async def _shown(tx: Tx, id: str, response: Response, principal: Principal | None = None) -> ContactView:
    stored = await store.find(tx, id)
    if stored is None:
        raise not_found()
    if principal is not None:
        await _own_ids(tx, principal, stored.contact.customer_id)
    response.headers["ETag"] = etag(stored.version)
    return contact_view(stored)


async def _replayed(tx: Tx, once: Attempt, response: Response) -> bool:
    replay: Replay | None = await once.claim(tx)
    if replay is not None:
        replay.mark(response)
    return replay is not None
