"""The table of decisions: what every gate said of a contact, for ever."""

from collections.abc import Sequence
from datetime import datetime

from services.engagement.contacts.domain import Contact
from services.engagement.contacts.gates import Decision
from shared.db import Row, Tx, copy, fetch

DECISIONS_V1 = """
CREATE TABLE decisions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contact_id text NOT NULL,
    customer_id text NOT NULL,
    purpose text NOT NULL,
    gate text NOT NULL,
    passed boolean NOT NULL,
    policy text NOT NULL,
    policy_version integer NOT NULL,
    fact text NOT NULL,
    earliest_at timestamptz,
    decided_at timestamptz NOT NULL
);
CREATE INDEX decisions_of_customer ON decisions (customer_id, id DESC);
"""

_DECISIONS = """
SELECT id, contact_id, purpose, gate, passed, policy, policy_version, fact, earliest_at, decided_at FROM decisions
WHERE customer_id = ANY(:customers) AND id < :before ORDER BY id DESC LIMIT :limit
"""
_DECIDED = (
    "contact_id", "customer_id", "purpose", "gate", "passed", "policy", "policy_version", "fact", "earliest_at",
    "decided_at",
)  # fmt: skip


async def note(tx: Tx, decided: Sequence[tuple[Contact, Sequence[Decision]]], now: datetime) -> None:
    """Writes decisions down. A statement must have run on ``tx``."""
    rows = [
        (
            contact.id, contact.customer_id, contact.purpose, d.gate, d.passed, d.policy, d.policy_version, d.fact,
            d.earliest_at, now,
        )
        for contact, decisions in decided
        for d in decisions
    ]  # fmt: skip
    if rows:
        await copy(tx, "decisions", _DECIDED, rows)


async def decisions(tx: Tx, customers: Sequence[str], before: int, limit: int) -> Sequence[Row]:
    """The decisions on a person's ids, newest first."""
    return await fetch(tx, _DECISIONS, customers=customers, before=before, limit=limit)
