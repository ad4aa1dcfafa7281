"""Examples for the OpenAPI document."""

from typing import Any

_AT = "2026-11-20T08:15:00Z"
TERMS: dict[str, Any] = {
    "discount": {"amount": "100.00", "currency": "TWD"}, "percent": None, "valid_days": 90,
    "min_spend": {"amount": "500.00", "currency": "TWD"}, "bearer": False,
}  # fmt: skip
COUPON: dict[str, Any] = {
    "id": "cn_5b0c2f", "code": "7K3QM-9XRTB-W4HDC", "customer_id": "pos:1001", "state": "issued", "state_at": _AT,
    "discount": TERMS["discount"], "percent": None, "min_spend": TERMS["min_spend"], "bearer": False,
    "issued_at": _AT, "expires_at": "2027-02-18T16:00:00Z", "order_id": None, "redemption_id": None, "batch_id": None,
}  # fmt: skip
USED: dict[str, Any] = {**COUPON, "state": "redeemed", "state_at": _AT, "order_id": "pos:104"}
RESERVED: dict[str, Any] = {**COUPON, "state": "reserved", "order_id": "pos:104"}
VOIDED: dict[str, Any] = {**COUPON, "state": "voided"}
CONFLICT: dict[str, Any] = {
    "coupon_id": "cn_5b0c2f", "order_id": "pos:105", "customer_id": "pos:1001", "occurred_at": _AT,
    "conflict": "coupon-redeemed",
}  # fmt: skip
BATCH: dict[str, Any] = {
    "id": "cb_71e4", "coupons": 2, "coupon": TERMS, "reason": "Opening of the Taichung store", "issued_at": _AT,
    "expires_at": "2027-02-18T16:00:00Z",
}  # fmt: skip
ASKED: dict[str, Any] = {
    "customers": ["pos:1001", "pos:1002"],
    "coupon": {"percent": "10", "valid_days": 90},
    "reason": "Opening of the Taichung store",
}
