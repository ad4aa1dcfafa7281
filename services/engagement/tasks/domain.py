"""Staff tasks: every piece of work a person has to do, contacts or not."""

from datetime import datetime
from typing import Literal

import msgspec

TaskKind = Literal["contact", "verify-delivery", "complaint", "verify-file"]
TaskStatus = Literal["open", "done", "cancelled"]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work: a contact to make, a delivery to look into, a complaint to answer, a file to verify."""

    id: str
    kind: TaskKind
    customer_id: str
    title: str
    due_at: datetime
    created_at: datetime
    status: TaskStatus = "open"
    contact_id: str | None = None
    feedback_id: str | None = None
    assignee: str | None = None
    outcome: str | None = None
    note: str | None = None
    closed_at: datetime | None = None
