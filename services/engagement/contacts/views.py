"""Contacts and decisions as the API shows them, and what it takes."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.engagement.contacts.domain import Status
from services.engagement.contacts.gates import Gate
from services.engagement.contacts.staff import PersonsOutcome
from services.engagement.contacts.store import Stored
from services.engagement.fields import Moment
from shared.contracts.contacts import ContactPurpose
from shared.contracts.customers import ContactChannel

CONTACT: dict[str, Any] = {
    "id": "5f0c…", "customer_id": "pos:1001", "purpose": "win-back", "channel": "email", "status": "planned",
    "due_at": "2026-11-20T08:16:00Z", "policy_version": 1, "assignee": None, "task_id": None, "made_at": None,
    "reasons": [{"code": "overdue", "text": "62 days since the last purchase; usual gap 18"}], "closed_at": None,
    "closed_reason": None, "created_at": "2026-11-20T08:16:00Z",
}  # fmt: skip
DECISION: dict[str, Any] = {
    "id": 12, "contact_id": "5f0c…", "purpose": "cadence", "gate": "quiet-hours", "passed": False,
    "policy": "quiet-hours", "policy_version": 1, "fact": "22:10 in Asia/Taipei; quiet 21:00-09:00",
    "earliest_at": "2026-11-21T01:00:00Z", "decided_at": "2026-11-20T14:10:00Z",
}  # fmt: skip
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class ReasonView(BaseModel):
    """Why the contact is planned."""

    code: str
    text: str


class ContactView(BaseModel):
    """A contact. ``task_id`` names the staff task that has it in hand; ``closed_reason`` says why it ended."""

    id: str
    customer_id: str
    purpose: ContactPurpose
    channel: ContactChannel
    status: Status
    due_at: datetime
    policy_version: int
    reasons: list[ReasonView]
    assignee: str | None
    task_id: str | None
    made_at: datetime | None
    closed_at: datetime | None
    closed_reason: str | None
    created_at: datetime


class DecisionView(BaseModel):
    """What a gate said: by which rule, from which fact, and when it opens at the earliest, where that is known."""

    id: int
    contact_id: str
    purpose: ContactPurpose
    gate: Gate
    passed: bool
    policy: str
    policy_version: int
    fact: str
    earliest_at: datetime | None
    decided_at: datetime


class Cancellation(BaseModel):
    """Why it shall not be made."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"reason": "called yesterday"}})

    reason: Words = "cancelled-by-staff"


class Rescheduling(BaseModel):
    """When it shall be made."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"due_at": "2026-11-24T10:00:00+08:00"}})

    due_at: Moment


class Completion(BaseModel):
    """``done``: made. ``not-reached``: tried in vain. ``not-sent``: a doubtful mail that never left goes out again."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"outcome": "done", "note": "comes by"}})

    outcome: PersonsOutcome = "done"
    note: Annotated[Words | None, Field(description="Never published; part of the customer's export")] = None


def contact_view(stored: Stored) -> ContactView:
    """A contact as the API shows it."""
    contact = stored.contact
    return ContactView(
        id=contact.id,
        customer_id=contact.customer_id,
        purpose=contact.purpose,
        channel=contact.channel,
        status=contact.status,
        due_at=contact.due_at,
        policy_version=contact.policy_version,
        reasons=[ReasonView(code=reason.code, text=reason.text) for reason in contact.reasons],
        assignee=stored.assignee,
        task_id=contact.task_id,
        made_at=contact.made_at,
        closed_at=stored.closed_at,
        closed_reason=stored.closed_reason,
        created_at=stored.created_at,
    )
