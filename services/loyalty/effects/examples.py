"""Examples for the OpenAPI document."""

from typing import Any

_AT = {"from": "2026-11-01T00:00:00Z", "to": "2027-02-01T00:00:00Z"}
BODY: dict[str, Any] = {
    "name": "Does double points on tea pay?", "what": {"rule_id": "tea-doubles"}, **_AT, "holdout_percent": 10,
    "metric": "spend",
}  # fmt: skip
EFFECT: dict[str, Any] = {**BODY, "id": "ef_00065c3f5a2b7e1f4c0a9b8d", "created_at": "2026-10-30T08:15:00Z"}
_GROUP = {"persons": 9021, "spend": "1803210.00", "spend_per_person": "199.89", "points_per_person": "23.10"}
FIGURES: dict[str, Any] = {
    **EFFECT, "measured_to": "2027-02-01T00:00:00Z", "holdout_kept": True, "currency": "TWD",
    "treated": _GROUP,
    "held_out": {"persons": 1003, "spend": "184351.40", "spend_per_person": "183.80", "points_per_person": "19.80"},
    "on_both_sides": 4,
    "incremental": {
        "per_person": "16.09", "low": "4.51", "high": "27.67", "total": "145147.89", "confidence": "0.95",
        "degrees": "1204.5", "method": "Welch 1947",
    },
    "lacking": None,
    "cost": {"points": 29769, "money": "29769.30", "uses": None, "uses_of_treated": None},
    "net": {"total": "115378.59", "low": None, "high": None},
    "gain_by_cost": "4.8758",
}  # fmt: skip
