"""Customers, contacts and policies with as little said as a test needs."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

import services.engagement.migrations as migrations
from services.engagement.contacts.domain import Contact
from services.engagement.customers.domain import Customer, File, Purchases, Risk
from services.engagement.policies.domain import Policies, policies_of

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
"""Noon in Taipei."""
HOUSE = "Asia/Taipei"

_SEED = Path(migrations.__path__[0]) / "seed" / "policies.json"
DEFAULTS: dict[str, Any] = json.loads(_SEED.read_text(encoding="utf-8"))


def policies(**changed: Any) -> Policies:
    """The seeded policies; ``caps={...}`` replaces fields of one."""
    bodies = {name: {**body, **changed.get(name.replace("-", "_"), {})} for name, body in DEFAULTS.items()}
    return policies_of({name: (1, body) for name, body in bodies.items()})


def customer(
    *, orders: int = 1, first: float = 10, last: float = 5, order_minor: int = 10_000, band: str = "low",
    raised: float | None = None, episode: int = 1, **file: Any,
) -> Customer:  # fmt: skip
    """A customer with ``orders`` in TWD; ``first``, ``last`` and ``raised`` in days before NOW."""
    purchases = Purchases()
    if orders:
        newest = (ago(last), "/shop/tw", "1")
        money = {"TWD": (orders, orders * order_minor)}
        purchases = Purchases(orders, ago(first), ago(last), newest, money)
    risk = Risk()
    if raised is not None:
        risk = msgspec.convert({"sequence": episode, "band": band, "episode": episode, "raised_at": ago(raised)}, Risk)
    return Customer(purchases, File(**file), risk)


def contact(**fields: Any) -> Contact:
    """A planned cadence contact of today."""
    given: dict[str, Any] = {
        "id": "k1", "customer_id": "pos:1", "purpose": "cadence", "channel": "email", "due_at": NOW,
        "status": "planned", "policy_version": 1, **fields,
    }  # fmt: skip
    return Contact(**given)


def ago(days: float) -> datetime:
    """So many days before NOW."""
    return NOW - timedelta(days=days)
