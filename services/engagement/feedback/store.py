"""The table of what customers write to us: personal, and nowhere else."""

from datetime import datetime

import msgspec

from shared.db import Tx, fetch

FEEDBACK_V1 = """
CREATE TABLE feedback (
    feedback_id text PRIMARY KEY,
    customer_id text NOT NULL,
    kind text NOT NULL,
    channel text NOT NULL,
    text text NOT NULL,
    photos text NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL
);
CREATE INDEX feedback_of_customer ON feedback (customer_id, occurred_at);
"""

_FIELDS = ("feedback_id", "customer_id", "kind", "channel", "text", "photos", "occurred_at", "received_at")
_INSERT = f"""
INSERT INTO feedback ({", ".join(_FIELDS)}) VALUES ({", ".join(":" + name for name in _FIELDS)}) RETURNING feedback_id
"""
_FIND = f"SELECT {', '.join(_FIELDS)} FROM feedback WHERE feedback_id = :id"


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer wrote; ``photos`` are addresses, as a JSON list."""

    feedback_id: str
    customer_id: str
    kind: str
    channel: str
    text: str
    photos: str
    occurred_at: datetime
    received_at: datetime


async def insert(tx: Tx, written: Written) -> None:
    """Keeps it."""
    await fetch(tx, _INSERT, **msgspec.structs.asdict(written))


async def find(tx: Tx, id: str) -> Written | None:
    """One, by its id."""
    rows = await fetch(tx, _FIND, id=id)
    return Written(**rows[0]) if rows else None
