"""Examples for the OpenAPI document."""

from typing import Any

CODE: dict[str, Any] = {
    "customer_id": "pos:1001", "code": "7K3QM-9XRTB-W4HDC", "created_at": "2026-11-20T08:15:00Z",
}  # fmt: skip
REFERRAL: dict[str, Any] = {
    "id": "rf_5d41402abc4b2a76b9719d911017c592", "role": "referrer", "state": "refused", "points": 0,
    "reason": "bought-before", "ordered_at": "2026-11-20T08:15:00Z", "qualifies_at": "2026-12-04T08:15:00Z",
    "order_id": "pos:88", "referrer_id": "pos:1001", "referee_id": "pos:2002",
}  # fmt: skip
REFERRALS: dict[str, Any] = {
    "customer_id": "pos:1001", "pending": 1, "qualified": 3, "refused": 1, "points": 300, "items": [REFERRAL],
    "next_cursor": "WyJyZl81ZDQxIl0",
}  # fmt: skip
KPI: dict[str, Any] = {
    "from": "2026-10-01T00:00:00Z", "to": "2026-11-01T00:00:00Z", "new_customers": 80, "referred": 12, "rate": "0.1500",
    "qualified": 9, "pending": 3, "points": 1350, "refused": {"bought-before": 2, "self-referral": 1},
}  # fmt: skip
