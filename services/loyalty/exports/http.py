"""The route that gives out everything that loyalty holds of one person."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from services.loyalty.exports.store import SECTIONS
from services.loyalty.openapi import answers
from shared.clock import Clock
from shared.contracts.types import CUSTOMER_ID
from shared.db import Database
from shared.exports import export
from shared.http.auth import Principal, requires
from shared.http.routing import Router

_AT = "2026-11-20T08:15:00Z"
_EXAMPLE: dict[str, Any] = {
    "schema_version": 1,
    "generated_at": _AT,
    "customer_id": "pos:1001",
    "customer_ids": ["pos:1001"],
    "accounts": [{"customer_id": "pos:1001", "merged_into": None, "opened_at": _AT, "orders": 1, "entries": 1}],
    "tiers": [{"customer_id": "pos:1001", "tier": "silver", "due_at": "2027-11-20T08:15:00Z"}],
    "lots": [{"customer_id": "pos:1001", "origin": "order", "source_id": "pos:88", "points": 125, "posted": 125}],
    "pool_grants": [{"customer_id": "pos:1001", "order_id": "pos:88", "rule": "/budget", "period": "2026", "used": 9}],
    "enrolments": [{"customer_id": "pos:1001", "member_number": "10000012", "plan": "card", "enrolled_at": _AT}],
    "enrolment_terms": [{"term": 1, "since": _AT, "until": None, "fee_minor": 39900, "currency": "TWD"}],
    "entries": [{
        "customer_id": "pos:1001", "seq": 1, "kind": "earned", "debit": "issued", "credit": "pending", "points": 125,
        "origin": "order", "source_id": "pos:88", "occurred_at": _AT, "known_at": _AT,
    }],
    "takes": [{"customer_id": "pos:1001", "take_id": "rd_4", "kind": "redemption", "points": 50, "occurred_at": _AT}],
    "adjustments": [{"customer_id": "pos:1001", "adjustment_id": "ad_1", "points": 20, "reason": "Waited too long"}],
    "transfers": [{"from_customer_id": "pos:1001", "to_customer_id": None, "transfer_id": "tr_1", "points": 20}],
    "occasion_gifts": [{"customer_id": "pos:1001", "rule": "birthday", "kind": "birthday", "day": "2026-08-15"}],
    "expiry_warnings": [{"customer_id": "pos:1001", "day": "2026-12-20", "points": 27, "told_at": _AT}],
    "celebrations": [{"customer_id": "pos:1001", "birthday": "solar:08-15", "zone": None, "since": _AT}],
    "statements": [{"customer_id": "pos:1001", "month": "2026-10-01", "document": "{…}"}],
    "referral_codes": [{"customer_id": "pos:1001", "code": "7K3QM9XRTBW4HDC", "created_at": _AT}],
    "referrals": [{"referral_id": "rf_5d41", "referrer_id": "pos:1001", "state": "qualified", "referrer_points": 100}],
    "holds": [{"customer_id": "pos:1001", "hold_id": "hd_4", "points": 50, "state": "committed", "created_at": _AT}],
    "quotes": [{"customer_id": "pos:1001", "quote_id": "qt_4", "points": 50, "created_at": _AT}],
    "redemptions": [{"customer_id": "pos:1001", "redemption_id": "rd_4", "points": 50, "redeemed_at": _AT}],
    "reward_uses": [{"customer_id": "pos:1001", "use_id": "rd_4", "reward_id": "rw_1", "at": _AT, "state": "settled"}],
    "customer_segments": [{"customer_id": "pos:1001", "segment": "lifecycle", "class": "active", "changed_at": _AT}],
    "segment_history": [{"customer_id": "pos:1001", "segment": "lifecycle", "class": "active", "occurred_at": _AT}],
    "coupons": [{"customer_id": "pos:1001", "coupon_id": "cn_1", "percent": "10", "state": "issued"}],
    "coupon_claims": [{"customer_id": "pos:1001", "coupon_id": "cn_1", "order_id": "pos:104", "given": True}],
    "events": [{"kind": "purchase-recorded", "occurred_at": _AT, "data": {"order_id": "pos:88"}}],
    "merges": [],
    "dead_letters": [],
}  # fmt: skip
Rows = list[dict[str, Any]]


class ExportView(BaseModel):
    """Everything that loyalty holds of a person under all his ids, a section a kind; fields may be added to rows.

    Points are integers, money is in minor units. `events` are the orders as they came in. Of `dead_letters`, which name
    him and could not be applied, staff see the words, in base64.
    """

    schema_version: int
    generated_at: datetime
    customer_id: str
    customer_ids: list[str]
    accounts: Rows
    tiers: Rows
    enrolments: Rows
    enrolment_terms: Rows
    lots: Rows
    pool_grants: Rows
    entries: Rows
    takes: Rows
    adjustments: Rows
    transfers: Rows
    occasion_gifts: Rows
    expiry_warnings: Rows
    celebrations: Rows
    statements: Rows
    referral_codes: Rows
    referrals: Rows
    holds: Rows
    quotes: Rows
    redemptions: Rows
    reward_uses: Rows
    customer_segments: Rows
    segment_history: Rows
    coupons: Rows
    coupon_claims: Rows
    events: Rows
    merges: Rows
    dead_letters: Rows


def router(db: Database, clock: Clock) -> Router:
    """``GET /accounts/{customer_id}/export``."""
    routes = Router(tags=["privacy"])
    documented = answers(_EXAMPLE)
    documented[200]["model"] = ExportView

    @routes.get(
        "/accounts/{customer_id}/export", responses=documented, response_class=StreamingResponse, response_model=None
    )
    async def read_export(
        customer_id: Annotated[str, Path(pattern=CUSTOMER_ID.removesuffix(r"(?!\n)"))],
        who: Annotated[Principal, requires("loyalty:read")],
    ) -> StreamingResponse:
        """Everything about one person in one JSON document, as of one moment; a customer's own token gets his own."""
        return await export(db, clock, SECTIONS, who, customer_id)

    return routes
