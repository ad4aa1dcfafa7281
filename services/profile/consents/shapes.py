"""Consent as JSON."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from services.profile.consents.domain import Consent, Entry
from services.profile.fields import Id
from shared.contracts.customers import ContactChannel, Purpose


class Saying(BaseModel):
    """What the customer said, where (``source``), and in answer to which wording."""

    model_config = ConfigDict(extra="forbid")

    granted: bool
    source: Id
    wording_version: Id


class ConsentView(Saying):
    """The entry in force for a channel and purpose."""

    channel: ContactChannel
    purpose: Purpose
    recorded_at: datetime


class ConsentEntryView(ConsentView):
    """A line of the ledger, under the id of his that it was written for."""

    customer_id: str


class ConsentsView(BaseModel):
    """What is in force. What isn't listed was never asked: consent for nothing but service messages."""

    items: list[ConsentView]


def consent_view(consent: Consent) -> ConsentView:
    """An entry of the ledger."""
    return ConsentView(
        channel=consent.channel,
        purpose=consent.purpose,
        granted=consent.granted,
        source=consent.source,
        wording_version=consent.wording_version,
        recorded_at=consent.recorded_at,
    )


def entry_view(entry: Entry) -> ConsentEntryView:
    """A line of the ledger."""
    return ConsentEntryView(customer_id=entry.customer_id, **consent_view(entry.consent).model_dump())
