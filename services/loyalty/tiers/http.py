"""Trying tiers before they are posted."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from services.loyalty.openapi import answers
from services.loyalty.programmes.bodies import ProgrammeBody, check_programme
from services.loyalty.tiers.preview import TierPreview
from shared.http.auth import Principal, staff_only
from shared.http.pagination import PageRequest
from shared.http.routing import Router

_ANSWER: dict[str, Any] = {
    "at": "2026-11-20T08:15:00Z",
    "programme_version": 1,
    "customers": [
        {"from": None, "to": None, "customers": 8120},
        {"from": "silver", "to": None, "customers": 41},
        {"from": "silver", "to": "silver", "customers": 930},
    ],
    "items": [{"customer_id": "pos:1001", "from": "silver", "to": None}],
    "next_cursor": None,
}


class Counted(BaseModel):
    """So many customers hold ``from`` by the version in force, and would hold ``to``; null is no tier."""

    before: str | None = Field(serialization_alias="from")
    after: str | None = Field(serialization_alias="to")
    customers: int


class Moved(BaseModel):
    """A customer who would hold another tier than now."""

    customer_id: str
    before: str | None = Field(serialization_alias="from")
    after: str | None = Field(serialization_alias="to")


class PreviewView(BaseModel):
    """``customers`` counts everybody, those who stay too; on pages after the first it is null. ``items``: who moves.

    ``programme_version``: the one in force at ``at``.
    """

    at: datetime
    programme_version: int | None
    customers: list[Counted] | None
    items: list[Moved]
    next_cursor: str | None


def router(preview: TierPreview) -> Router:
    """``POST /tiers/preview``."""
    routes = Router(tags=["tiers"])

    @routes.post(
        "/tiers/preview", response_model=PreviewView, response_model_by_alias=True, responses=answers(_ANSWER)
    )
    async def try_tiers(
        who: Annotated[Principal, staff_only("loyalty:read")], body: ProgrammeBody, paging: PageRequest
    ) -> PreviewView:
        """Who would move, if this version were in force now: how many from which tier to which, and who they are, a
        page at a time. It writes nothing, so it takes no Idempotency-Key. Everybody's orders are read for the first
        page; points stay as they were earned."""
        check_programme(body)
        after = paging.after(tuple[int])
        found = await preview.moves(body.document(), after[0] if after else None, paging.limit)
        counts = None
        if found.counts is not None:
            in_order = sorted(found.counts.items(), key=lambda one: (one[0][0] or "", one[0][1] or ""))
            counts = [Counted(before=before, after=then, customers=many) for (before, then), many in in_order]
        return PreviewView(
            at=found.at,
            programme_version=found.programme_version,
            customers=counts,
            items=[
                Moved(customer_id=move.customer_id, before=move.before, after=move.after)
                for move in found.page[: paging.limit]
            ],
            next_cursor=paging.next_cursor(found.page, lambda move: (move.account_id,)),
        )

    return routes
