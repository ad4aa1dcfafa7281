"""Examples for the OpenAPI document."""

from typing import Any

ASKED: dict[str, Any] = {
    "from_customer_id": "pos:1001", "to_customer_id": "pos:2002", "points": 200, "reason": "For her birthday",
}  # fmt: skip
TRANSFER: dict[str, Any] = {
    **ASKED, "to_customer_id": "web:2002", "named": "pos:2002", "id": "tr_12", "at": "2026-11-20T08:15:00Z",
}  # fmt: skip
