"""Where accesses are noticed, and the route that tells staff of them."""

import re
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from services.profile import examples
from services.profile.accesses.application import AccessRecord, begin
from services.profile.accesses.domain import Access, Kept
from services.profile.customers.application import Customers
from services.profile.fields import CustomerInPath
from services.profile.identities.application import person
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.gates import admitted
from shared.http.observed import request_id_of, status_of
from shared.http.pagination import Page, PageRequest
from shared.http.problems import not_found
from shared.http.routing import Router

_PURPOSE = re.compile(rb"[A-Za-z0-9._:~-]{1,64}")
_ACCESS: dict[str, Any] = {
    "at": "2026-11-20T08:15:00Z",
    "subject": "staff:7",
    "scope": "profile:read",
    "route": "GET /customers/{customer_id}",
    "purpose": "complaint-1187",
    "request_id": "5b8aa5a2d2c872e8321cf37308d69df2",
}


class Recorded:
    """Notes each answer that showed a customer's data: who asked is in his token, whose they are in the path of what
    succeeded, or told by ``showed``. The header ``X-Purpose``, a word of up to 64 characters, is kept with it."""

    def __init__(self, app: ASGIApp, record: AccessRecord) -> None:
        self.app = app
        self.record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI calls it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        shown = begin()
        try:
            await self.app(scope, receive, send)
        finally:
            self._note(scope, shown)

    def _note(self, scope: Scope, shown: list[str]) -> None:
        answered = 200 <= status_of(scope) < 300
        named = scope.get("path_params", {}).get("customer_id") if answered else None
        if not (named or shown):
            return
        who = next((found for found in admitted(Request(scope)) if isinstance(found, Principal)), None)
        if who is None:
            return
        access = Access(
            at=self.record.clock.now(),
            subject=who.subject,
            scope=_joined(who.scopes),
            route=f"{scope['method']} {scope['route'].path_format}",
            purpose=_purpose(scope),
            request_id=request_id_of(scope),
        )
        self.record.note(access, [named, *shown] if named else shown)


class AccessView(BaseModel):
    """An answer that showed data of the customer: who asked, by which route, what for as he says, and when."""

    at: datetime
    subject: str
    scope: str
    route: str
    purpose: str | None
    request_id: str


def accesses_router(record: AccessRecord, customers: Customers, db: Database) -> Router:
    """``GET /customers/{customer_id}/accesses``."""
    router = Router(tags=["privacy"])

    @router.get(
        "/customers/{customer_id}/accesses", responses=examples.answer({"items": [_ACCESS], "next_cursor": None})
    )
    async def read_accesses(
        _: Annotated[Principal, staff_only("profile:read")], customer_id: CustomerInPath, paging: PageRequest
    ) -> Page[AccessView]:
        """Who was shown data of a customer under any of his ids, the newest first; of other instances of the service
        up to a second late."""
        after = paging.after(tuple[int])
        await record.flush()
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            if not await customers.exists(tx, asked.customer_id):
                raise not_found()
            found = await record.page(tx, asked.ids, after[0] if after else None, paging.limit + 1)
        cursor = paging.next_cursor(found, lambda kept: (kept.access_id,))
        return Page(items=[_view(kept) for kept in found[: paging.limit]], next_cursor=cursor)

    return router


def _view(kept: Kept) -> AccessView:
    access = kept.access
    return AccessView(
        at=access.at,
        subject=access.subject,
        scope=access.scope,
        route=access.route,
        purpose=access.purpose,
        request_id=access.request_id,
    )


def _purpose(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-purpose" and _PURPOSE.fullmatch(value):
            return str(value, "ascii")
    return None


@lru_cache(maxsize=1024)
def _joined(scopes: frozenset[str]) -> str:
    return " ".join(sorted(scopes))
