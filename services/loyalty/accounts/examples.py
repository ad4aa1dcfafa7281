"""Examples for the OpenAPI document."""

from typing import Any

_MONEY = {"amount": "6200.00", "currency": "TWD"}
ENTRY: dict[str, Any] = {
    "customer_id": "pos:1001", "seq": 3, "kind": "earned", "debit": "issued", "credit": "pending", "points": 125,
    "origin": "order", "order_id": "pos:88", "source_id": "pos:88", "programme_version": 1,
    "occurred_at": "2026-11-20T08:15:00Z", "known_at": "2026-11-20T08:15:01Z",
    "caused_by": {"source": "/pos/taipei", "id": "88-1"}, "hash": "9f86d081884c7d65…",
}  # fmt: skip
BALANCE: dict[str, Any] = {
    "customer_id": "pos:1001", "as_of": "2026-11-20T08:15:00Z", "known_by": "2026-11-30T16:00:00Z", "available": 320,
    "pending": 45, "held": 0, "debt": 0, "expired": 12,
}  # fmt: skip
LOT: dict[str, Any] = {
    "origin": "order", "order_id": "pos:88", "source_id": "pos:88", "points": 100, "reversed": 25, "free": 100,
    "spent": 0, "held": 0, "repaid": 0, "owed": 0, "state": "pending", "occurred_at": "2026-11-20T08:15:00Z",
    "available_from": "2026-12-04T08:15:00Z", "expires_at": "2027-11-20T08:15:00Z", "programme_version": 1,
}  # fmt: skip
EXPLANATION: dict[str, Any] = {
    "at": "2026-12-05T04:00:00Z", "available": 60, "pending": 0, "held": 30, "debt": 0, "settling": 0,
    "orders": [{
        "origin": "order", "order_id": "pos:88", "source_id": "pos:88", "state": "available", "points": 100,
        "reversed": 25, "paid_net": {"amount": "1000.00", "currency": "TWD"}, "programme_version": 1,
        "rounding": "floor", "occurred_at": "2026-11-20T08:15:00Z", "available_from": "2026-12-04T08:15:00Z",
        "expires_at": "2027-11-20T08:15:00Z",
        "leaves": [{
            "rule": "base", "text": {"en": "For what was paid", "zh-CN": "消费积分"}, "exact": "125.6", "wanted": 125,
            "awarded": 125, "points": 100,
        }],
        "lines": [{"line_id": "1", "points": 67}, {"line_id": "2", "points": 33}],
        "uses": [
            {"kind": "redemption", "points": 10, "id": "rd_05a1", "origin": None, "until": None},
            {"kind": "hold", "points": 30, "id": "hd_05a2", "origin": None, "until": "2026-12-05T04:10:00Z"},
        ],
        "owed": 0, "available": 60, "pending": 0, "held": 30, "debt": 0,
    }],
    "grants": [], "unbacked": [],
}  # fmt: skip
ACCOUNT: dict[str, Any] = {
    "customer_id": "pos:1001",
    "merged_into": None,
    "available": 320,
    "pending": 45,
    "held": 0,
    "debt": 0,
    "lifetime_earned": 365,
    "tier": {
        "name": "silver",
        "since": "2026-10-02T03:10:00Z",
        "progress": {
            "spend": _MONEY, "next": "gold", "missing": _MONEY,
            "measures": [{"measure": "orders", "reached": 7, "asked": 12, "missing": 5}],
        },
        "projected": {"name": "bronze", "at": "2027-10-02T03:10:00Z"},
    },
    "expiring": {"next_at": "2027-03-01T02:00:00Z", "points": 20},
}
