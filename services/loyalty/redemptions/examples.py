"""Examples for the OpenAPI document."""

from typing import Any

_AT = "2026-11-20T08:15:00Z"
QUOTE_REWARD: dict[str, Any] = {"customer_id": "pos:1001", "reward_id": "rw_12"}
QUOTE_POINTS: dict[str, Any] = {"customer_id": "pos:1001", "points": 300, "order": {"order_id": "pos:99"}}
QUOTE: dict[str, Any] = {
    "id": "qt_12", "reward_id": "rw_12", "points": 500, "price": {"amount": "50.00", "currency": "TWD"},
    "order_id": None, "created_at": _AT, "expires_at": "2026-11-20T08:30:00Z",
}  # fmt: skip
HOLD: dict[str, Any] = {
    "id": "hd_12", "customer_id": "pos:1001", "quote_id": "qt_12", "reward_id": "rw_12", "points": 500,
    "committed": 0, "state": "open", "created_at": _AT, "expires_at": "2026-11-20T08:30:00Z",
}  # fmt: skip
REDEMPTION: dict[str, Any] = {
    "id": "rd_12", "customer_id": "pos:1001", "hold_id": "hd_12", "reward_id": "rw_12", "points": 500,
    "price": {"amount": "50.00", "currency": "TWD"}, "order_id": None, "coupon_code": None,
    "fulfilment": {"state": "open", "due_at": "2026-12-04T08:15:00Z", "changed_at": None, "overdue": False},
    "redeemed_at": _AT, "rolled_back_at": None, "rolled_back_because": None,
}  # fmt: skip
