"""What engagement publishes: contacts planned, made, failed, and why not; whether they arrived, and were answered."""

from typing import Annotated, Literal

from msgspec import Meta

from shared.contracts.customers import ContactChannel
from shared.contracts.types import Derived, Id, Instant, Money

ContactPurpose = Literal["cadence", "win-back", "welcome", "after-purchase", "service"]


class Contact(Derived):
    """A contact by its id, purpose and channel, under the policy version that planned it."""

    occurred_at: Instant
    contact_id: Id
    purpose: ContactPurpose
    channel: ContactChannel
    policy_version: Annotated[int, Meta(ge=1)]


class ContactPlanned(Contact):
    """A contact is due at ``due_at``; a later event of the same id with another time moves it."""

    due_at: Instant


class ContactSuppressed(Contact):
    """A contact will not be made; ``reason`` is the gate that stopped it, or why it was cancelled."""

    reason: str


class ContactSent(Contact):
    """Handed to a provider, or done by staff."""

    provider: Id
    cost: Money | None = None


class ContactFailed(Contact):
    """The provider refused for good."""

    provider: Id
    reason: str


class ContactDelivered(Contact):
    """It arrived, as the provider says."""

    provider: Id


class ContactAnswered(Contact):
    """The customer did something about it: what he wrote or said stays with whoever has it."""

    how: Literal["opened", "clicked", "replied", "spoken", "opted-out", "other"]
