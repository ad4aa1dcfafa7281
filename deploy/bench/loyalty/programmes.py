"""Programme versions of so many rules, all of which are looked at for every order."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from deploy.bench.purchases import CATEGORIES, CHANNELS

ACTIVE_FROM = "2000-01-01T00:00:00Z"
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def programme(rules: int, *, award: int = 1) -> dict[str, Any]:
    """A version as ``POST /programmes`` takes it, with tiers."""
    return {
        "name": "bench",
        "currency": "TWD",
        "active_from": ACTIVE_FROM,
        "points": {"award": award, "per": {"amount": "10", "currency": "TWD"}, "base": "paid", "rounding": "floor"},
        "pending_days": 14,
        "expiry": {"kind": "rolling", "months": 12},
        "rules": [
            {"id": f"rule-{n}", "order": n, "on": "purchase", **said} for n, said in enumerate(islice(_rules(), rules))
        ],
        "tiers": [{"name": "silver", "qualify": {"spend": "5000", "window_days": 365}}],
        "tier_grace_days": 30,
    }


def _rules() -> Iterator[dict[str, Any]]:
    """First that of a fresh system, so that one alone is an ordinary one; then of every kind in turn."""
    n = 0
    while True:
        category, channel = CATEGORIES[n % len(CATEGORIES)], CHANNELS[n % len(CHANNELS)]
        cap = {"points": 500, "per": "month", "scope": "customer"}
        yield {"when": {"category": [category]}, "effect": {"multiply": "2"}, "cap": cap}
        yield {"when": {"channel": [channel], "category": [category]}, "effect": {"multiply": "1.5"}}
        yield {"when": {"weekday": [_DAYS[n % 7]], "paid_at_least": "500"}, "effect": {"bonus": 10 + n}}
        yield {"when": {"store": [f"tp-{n % 40:02}"]}, "effect": {"bonus": 5}, "group": f"group-{n % 3}"}
        yield {"when": {"days": {"from": "2020-01-01", "to": "2020-02-01"}}, "effect": {"multiply": "3"}}
        n += 1
