"""Examples for the OpenAPI document."""

from typing import Any

_POINTS: dict[str, int] = {
    "opening": 0, "issued": 1250, "used": 300, "expired": 0, "reversed": 50, "adjusted": 20, "compensation": 0,
    "transferred": 0, "closing": 920,
}  # fmt: skip
_MONEY: dict[str, str] = {name: f"{points}.00" for name, points in _POINTS.items()}
_WHERE: dict[str, int] = {"pending": 400, "available": 500, "held": 20, "debt": 0}
LIABILITY: dict[str, Any] = {
    "as_of": "2026-11-20T08:15:00Z", "since": "2026-11", "currency": "TWD",
    "total": {"points": _POINTS, "money": _MONEY, **_WHERE},
    "months": [{"issued_in": "2026-11", "points": _POINTS, "money": _MONEY, **_WHERE}],
    "expected_breakage": {
        "points": 184, "money": "184.00", "of_points": 920, "least_cohorts": 3, "least_points": 100,
        "ages": [{"age": 0, "open": 48200, "used": 9300, "expired": 0, "cohorts": 14, "carries": True}],
    },
}  # fmt: skip
