"""What engagement publishes of its contacts."""

from datetime import datetime
from typing import Any

from services.engagement.contacts.domain import Contact, Wanted
from services.engagement.triggers import Trigger
from shared.contracts.contacts import ContactFailed, ContactPlanned, ContactSent, ContactSuppressed
from shared.messaging.outbox import UNNUMBERED, Outgoing


def planned(
    id: str, customer_id: str, of: Wanted | Contact, due_at: datetime, by: Trigger, now: datetime
) -> Outgoing:
    """A contact is new, or its time moved."""
    return Outgoing(ContactPlanned(**_common(id, customer_id, of, by, now), due_at=due_at), by.traceparent)


def suppressed(contact: Contact, reason: str, by: Trigger, now: datetime) -> Outgoing:
    """A contact will not be made."""
    common = _common(contact.id, contact.customer_id, contact, by, now)
    return Outgoing(ContactSuppressed(**common, reason=reason), by.traceparent)


def sent(contact: Contact, provider: str, by: Trigger, now: datetime) -> Outgoing:
    """A contact was made."""
    common = _common(contact.id, contact.customer_id, contact, by, now)
    return Outgoing(ContactSent(**common, provider=provider), by.traceparent)


def failed(contact: Contact, provider: str, reason: str, by: Trigger, now: datetime) -> Outgoing:
    """A contact could not be made, for good."""
    common = _common(contact.id, contact.customer_id, contact, by, now)
    return Outgoing(ContactFailed(**common, provider=provider, reason=reason), by.traceparent)


def _common(id: str, customer_id: str, of: Wanted | Contact, by: Trigger, now: datetime) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "sequence": UNNUMBERED,
        "caused_by": by.cause,
        "occurred_at": now,
        "contact_id": id,
        "purpose": of.purpose,
        "channel": of.channel,
        "policy_version": of.policy_version,
    }
