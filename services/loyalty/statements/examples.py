"""Examples for the OpenAPI document."""

from typing import Any

_NONE = {"available": 0, "pending": 0, "held": 0, "debt": 0}
DOCUMENT: dict[str, Any] = {
    "statement": {
        "version": 1, "customer_id": "pos:1001", "month": "2026-10", "time_zone": "Asia/Taipei",
        "from": "2026-10-01T00:00:00+08:00", "closed_at": "2026-11-01T00:00:00+08:00", "opening": _NONE,
        "entries": [{
            "seq": 1, "kind": "earned", "points": 125, "changes": {"pending": 125},
            "occurred_at": "2026-10-20T16:15:00+08:00", "known_at": "2026-10-20T16:15:01+08:00", "correction": False,
            "origin": "order", "source_id": "pos:88",
            "text": {"en": "You got 125 points for order pos:88.", "zh-CN": "订单 pos:88 获得 125 积分。"},
        }],
        "closing": {**_NONE, "pending": 125},
        "expiring": [{"at": "2026-12-20T16:15:00+08:00", "points": 25}],
        "chain": {"entries": 1, "head": "9f86d081884c7d65…"},
    },
    "signature": "eyJhbGciOiJFZERTQSIsInR5cCI6InJvb3N0LXN0YXRlbWVudCtqd3QifQ…",
}  # fmt: skip
MONTHS: dict[str, Any] = {
    "items": [{"customer_id": "pos:1001", "month": "2026-10", "closed_at": "2026-11-01T00:00:00+08:00"}]
}
