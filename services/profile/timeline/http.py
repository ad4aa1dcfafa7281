"""The route of a customer's story."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import Query
from pydantic import BaseModel

from services.profile import examples
from services.profile.customers.application import Customers
from services.profile.fields import CustomerInPath, Instant
from services.profile.identities.application import person
from services.profile.timeline.application import Timeline
from services.profile.timeline.domain import NOTE, Entry
from shared.contracts.topics import TOPICS
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires
from shared.http.pagination import Page, PageRequest
from shared.http.problems import invalid, not_found
from shared.http.routing import Router

_EXAMPLE = {
    "kind": "purchase-recorded",
    "occurred_at": "2026-11-20T08:15:00Z",
    "source": "/pos/taipei",
    "id": "88-1",
    "data": examples.PURCHASE,
}


class EntryView(BaseModel):
    """A fact: its topic (or `note`), when it happened, the event that brought it, and the event's data."""

    kind: str
    occurred_at: datetime
    source: str
    id: str
    data: dict[str, Any]


def timeline_router(timeline: Timeline, customers: Customers, db: Database) -> Router:
    """``GET /customers/{customer_id}/timeline``."""
    router = Router(tags=["timeline"])

    @router.get(
        "/customers/{customer_id}/timeline",
        responses=examples.answer({"items": [_EXAMPLE], "next_cursor": None}),
    )
    async def read_timeline(
        who: Annotated[Principal, requires("profile:read")],
        customer_id: CustomerInPath,
        paging: PageRequest,
        kinds: Annotated[str | None, Query(max_length=1000, description="Topics or `note`, by commas")] = None,
        before: Annotated[Instant | None, Query(description="Only what happened before")] = None,
    ) -> Page[EntryView]:
        """What happened with a customer under all his ids, newest first. Of an order, its highest version.

        Staff are told their notes, and what they promised and is overdue, too.
        """
        wanted = _topics(kinds)
        after = paging.after(tuple[datetime, str, str])
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            if not await customers.exists(tx, asked.customer_id):
                raise not_found()
            entries = await timeline.page(
                tx, asked.ids, kinds=wanted, before=before, after=after, limit=paging.limit + 1,
                staff=who.customer_id is None,
            )  # fmt: skip
        cursor = paging.next_cursor(entries, lambda entry: (entry.occurred_at, entry.source, entry.event_id))
        return Page(items=[_view(entry) for entry in entries[: paging.limit]], next_cursor=cursor)

    return router


def _topics(kinds: str | None) -> list[str] | None:
    if kinds is None:
        return None
    names = [name.strip() for name in kinds.split(",") if name.strip()]
    if unknown := [name for name in names if name not in (*TOPICS, NOTE)]:
        raise invalid("/query/kinds", f"{unknown[0][:80]!r} is no topic: {', '.join((*TOPICS, NOTE))}")
    return names


def _view(entry: Entry) -> EntryView:
    return EntryView(
        kind=entry.kind,
        occurred_at=entry.occurred_at,
        source=entry.source,
        id=entry.event_id,
        data=msgspec.json.decode(entry.body),
    )
