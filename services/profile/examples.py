"""Examples for the OpenAPI document."""

from typing import Any

CUSTOMER_ID = "pos:1001"
FIELDS: dict[str, Any] = {
    "kind": "person",
    "name": "Example Customer",
    "email": "customer@example.com",
    "phone": "+886223456789",
    "locale": "zh-TW",
    "time_zone": "Asia/Taipei",
    "birthday": {"month": 8, "day": 15, "calendar": "lunar", "leap_month": False},
    "tags": ["tea"],
    "owner": "staff:7",
    "preferred_channel": "email",
}
MONEY = {"amount": "1250.00", "currency": "TWD"}
VALUE = {
    "rfm": {"r": 5, "f": 2, "m": 1, "version": 1},
    "lifetime_spend": MONEY,
    "order_count": 2,
    "clv": {
        "amount": "5230.00",
        "currency": "TWD",
        "days": 365,
        "expected_purchases": 1.37,
        "horizon_days": 90,
        "model_version": "mbg-nbd/3",
        "scored_at": "2026-11-20T20:00:00Z",
    },
    "unconverted": [],
    "first_purchase_at": "2026-10-02T03:10:00Z",
    "last_purchase_at": "2026-11-20T08:15:00Z",
}
RISK = {
    "band": "at-risk",
    "probability": 0.71,
    "reasons": [{"code": "silence", "text": "62 days since the last purchase; usual gap 18", "contribution": 0.31}],
    "scored_at": "2026-11-21T18:00:00Z",
}
VIEW: dict[str, Any] = {
    **FIELDS,
    "customer_id": CUSTOMER_ID,
    "merged_into": None,
    "team": {"after-sales": "staff:9"},
    "contact_points": [
        {"kind": "email", "value": "customer@example.com", "verified": True},
        {"kind": "phone", "value": "+886223456789", "verified": False},
    ],
    "tenure_start": None,
    "preferred_hours": None,
    "preferred_every_days": None,
    "interests": [],
    "price_sensitivity": None,
    "industry": None,
    "occupation": "teacher",
    "company_size": None,
    "business_model": None,
    "wallet_estimate": {"amount": "12000.00", "currency": "TWD"},
    "special_needs": ["no sugar"],
    "anniversaries": [{"name": "shop opened", "month": 5, "day": 4, "calendar": "solar", "leap_month": False}],
    "attributes": {},
    "created_at": "2026-10-02T03:10:00Z",
    "updated_at": "2026-10-02T03:10:00Z",
    "value": {
        **VALUE,
        "share": {
            "share": 0.104,
            "numerator": {"amount": "1250.00", "currency": "TWD"},
            "denominator": {"amount": "12000.00", "currency": "TWD"},
            "days": 365,
            "last_day": "2026-11-21",
            "estimate": {"amount": "12000.00", "currency": "TWD"},
            "estimated_at": "2026-10-02T03:10:00Z",
        },
    },
    "lifecycle": "new",
    "segments": ["tea-lovers", "lifecycle:new", "rfm:5-2-1", "value:EIV"],
    "tier": "silver",
    "points": 120,
    "risk": RISK,
    "next_contact": {
        "contact_id": "k-1",
        "purpose": "cadence",
        "channel": "email",
        "due_at": "2026-11-27T01:00:00Z",
    },
    "open_complaints": 0,
    "quality": {
        "score": 86,
        "reasons": [
            {"code": "unverified", "field": "phone", "points": 10},
            {"code": "missing", "field": "time_zone", "points": 4},
        ],
        "verify_by": "2026-11-01",
    },
    "restricted": False,
    "filled_from": {"birthday": "web:2002"},
}
ROW = {
    "customer_id": CUSTOMER_ID,
    "kind": "person",
    "name": "Example Customer",
    "tags": ["tea"],
    "owner": "staff:7",
    "lifecycle": "new",
    "value": VALUE,
    "tier": "silver",
    "points": 120,
    "risk": RISK,
    "restricted": False,
}
PURCHASE = {
    "customer_id": CUSTOMER_ID,
    "order_id": "pos:88",
    "occurred_at": "2026-11-20T08:15:00Z",
    "channel": "store",
    "total": MONEY,
    "lines": [
        {"line_id": "1", "sku": "tea-1", "category": "tea", "quantity": 1, "unit_price": MONEY},
    ],
}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "88-1",
    "source": "/pos/taipei",
    "type": "purchase-recorded.v1",
    "time": "2026-11-20T08:15:00Z",
    "datacontenttype": "application/json",
    "data": PURCHASE,
}
ORDER: dict[str, Any] = {
    "order_id": "pos:88",
    "order_version": 1,
    "occurred_at": "2026-11-20T08:15:00Z",
    "channel": "store",
    "total": MONEY,
    "net": {"amount": "1000.00", "currency": "TWD"},
    "converted": None,
    "lines": [
        {
            "line_id": "1",
            "sku": "tea-1",
            "category": "tea",
            "quantity": "5",
            "paid": MONEY,
            "returned_quantity": "1",
            "returned": {"amount": "250.00", "currency": "TWD"},
        }
    ],
    "returns": [
        {
            "return_id": "pos:r-9",
            "occurred_at": "2026-11-22T02:00:00Z",
            "amount": {"amount": "250.00", "currency": "TWD"},
        }
    ],
    "cancelled_at": None,
    "delivered_at": None,
}


def etag(of: str) -> dict[str, Any]:
    """The header of an answer whose ETag is the version of something."""
    return {"headers": {"ETag": {"schema": {"type": "string"}, "description": f"Version of {of}"}}}


ETAG = etag("the editable file")


def answer(content: Any, status: int = 200, **more: Any) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` entry with an example."""
    return {status: {"content": {"application/json": {"example": content}}, **more}}
