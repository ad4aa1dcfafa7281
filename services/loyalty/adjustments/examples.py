"""Examples for the OpenAPI document."""

from typing import Any

_AT = "2026-11-20T08:15:00Z"
ASKED: dict[str, Any] = {"points": 200, "reason": "Waited too long for the delivery"}
ADJUSTMENT: dict[str, Any] = {
    "id": "ad_12", "customer_id": "pos:1001", "points": 200, "reason": "Waited too long for the delivery",
    "expires_at": None, "state": "applied", "proposed_by": "staff:7", "proposed_at": _AT, "decided_by": None,
    "decided_at": None,
}  # fmt: skip
PROPOSED: dict[str, Any] = {**ADJUSTMENT, "id": "ad_13", "points": 5000, "state": "proposed"}
DECIDED: dict[str, Any] = {**PROPOSED, "state": "applied", "decided_by": "staff:2", "decided_at": _AT}
