"""Examples for the OpenAPI document."""

from typing import Any

BODY: dict[str, Any] = {
    "name": "Tea tin",
    "kind": "product",
    "points": 500,
    "price": {"amount": "50.00", "currency": "TWD"},
    "cost": {"amount": "120.00", "currency": "TWD"},
    "stock": 100,
    "per_customer": {"count": 1, "per": "month"},
    "tiers": ["silver"],
    "segments": ["lifecycle:active"],
    "from": "2026-11-01T00:00:00+08:00",
    "until": "2027-01-01T00:00:00+08:00",
    "fulfilment": {"due_days": 14},
    "text": {"zh-TW": "茶罐", "en": "A tin for tea"},
}
REWARD: dict[str, Any] = {
    **BODY, "id": "rw_00065c3f5a2b7e1f4c0a9b8d", "version": 1, "stock_left": 93, "active": True, "coupon": None,
    "created_at": "2026-11-20T08:15:00Z",
}  # fmt: skip
OFFER: dict[str, Any] = {
    **REWARD,
    "customer": {
        "may_take": False, "shortfall": 120,
        "refusals": [{"code": "tier-required", "detail": "This reward is for silver.", "earliest": None}],
    },
}  # fmt: skip
PATCH: dict[str, Any] = {"points": 450, "until": None}
ETAG: dict[str, Any] = {"headers": {"ETag": {"schema": {"type": "string"}, "description": "Version of the reward"}}}
