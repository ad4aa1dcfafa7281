"""What a checkout asks before it shows a price."""

from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any

from fastapi import Header, Path, Response
from pydantic import BaseModel, ConfigDict

from services.loyalty.ledger.reading import Holder, holder_of
from services.loyalty.openapi import answers
from services.loyalty.privileges.application import Brought, Privileges
from shared.contracts.types import CUSTOMER_ID
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires
from shared.http.problems import not_found
from shared.http.routing import Router

_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "Hash of the answer"}}
_EXAMPLE: dict[str, Any] = {
    "customer_id": "pos:1001",
    "merged_into": None,
    "tier": "silver",
    "text": {"en": "Silver", "zh-CN": "银卡"},
    "since": "2026-10-02T03:10:00Z",
    "privileges": [
        {"code": "free-shipping", "text": {"en": "Free delivery", "zh-CN": "免运费"}},
        {"code": "discount", "percent": "5", "text": {"en": "5% off", "zh-CN": "优惠 5%"}},
    ],
    "falls_at": "2027-11-01T03:10:00Z",
    "falls_to": None,
    "programme_version": 2,
}


class PrivilegeView(BaseModel):
    """``code``, what a customer reads of it by language, and beside them its values as the programme says them."""

    model_config = ConfigDict(extra="allow")

    code: str
    text: dict[str, str]


class PrivilegesView(BaseModel):
    """What the tier held now brings; null and nothing without one.

    ``falls_at``: the earliest instant at which it falls, if nothing more is bought and nothing given back; null: not by
    itself. ``falls_to`` null is no tier.
    """

    customer_id: str
    merged_into: str | None
    tier: str | None
    text: dict[str, str]
    since: datetime | None
    privileges: list[PrivilegeView]
    falls_at: datetime | None
    falls_to: str | None
    programme_version: int | None


def router(db: Database, privileges: Privileges) -> Router:
    """``GET /accounts/{customer_id}/privileges``."""
    routes = Router(tags=["privileges"])
    documented = answers(_EXAMPLE)
    documented[200]["headers"] = _ETAG

    @routes.get(
        "/accounts/{customer_id}/privileges",
        response_model=PrivilegesView,
        responses={**documented, 304: {"description": "As the ETag in If-None-Match has it"}},
    )
    async def read_privileges(
        customer_id: Annotated[str, Path(pattern=CUSTOMER_ID.removesuffix(r"(?!\n)"))],
        who: Annotated[Principal, requires("loyalty:read")],
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """What a customer's tier brings him now, in one call: the privileges with their values, what he reads of
        them, and until when he has them at the least. A customer's own token sees his own."""
        async with db.transaction() as tx:
            holder = await holder_of(tx, customer_id)
            own_or_404(who, customer_id, *holder.ids)
            if not holder.accounts:
                raise not_found()
            brought = await privileges.of(tx, holder)
        body = _view(customer_id, holder, brought).model_dump_json().encode()
        tag = f'"{sha256(body).hexdigest()[:32]}"'
        if if_none_match is not None and tag in if_none_match:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(body, headers={"ETag": tag}, media_type="application/json")

    return routes


def _view(customer_id: str, holder: Holder, brought: Brought) -> PrivilegesView:
    return PrivilegesView(
        customer_id=customer_id,
        merged_into=None if holder.survivor == customer_id else holder.survivor,
        tier=brought.tier,
        text=brought.text,
        since=brought.since,
        privileges=[PrivilegeView(code=one.code, text=one.text, **one.values) for one in brought.privileges],
        falls_at=brought.falls.at if brought.falls else None,
        falls_to=brought.falls.to if brought.falls else None,
        programme_version=brought.programme_version,
    )
