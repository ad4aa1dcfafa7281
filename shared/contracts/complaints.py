"""What engagement publishes of complaints: never their text, which it keeps.

All events of a complaint are published under the ``customer_id`` that it was opened under, also where that id is joined
to another: so ``sequence`` tells the last word.
"""

from typing import Literal

from shared.contracts.types import Derived, Id, Instant


class Complaint(Derived):
    """A complaint by its id. It is open until it is closed: one that is resolved waits for the customer's word."""

    occurred_at: Instant
    complaint_id: Id


class ComplaintOpened(Complaint):
    """Somebody is answerable for a complaint from now on, to answer by ``due_at``. ``feedback_id``: of the
    feedback-received that it began with, if it did; from now on the two are one."""

    feedback_id: Id | None = None
    topic: Id | None = None
    sku: Id | None = None
    order_id: Id | None = None
    due_at: Instant | None = None


class ComplaintResolved(Complaint):
    """Something was done about it; ``remedy`` by the house's own word: refund, replacement, apology."""

    remedy: Id | None = None


class ComplaintReopened(Complaint):
    """The customer isn't content, or it has come again; ``reason`` by the house's own word."""

    reason: Id | None = None


class ComplaintClosed(Complaint):
    """It is over: the customer confirmed it, staff did, or nobody said anything for as long as the policy waits."""

    by: Literal["customer", "staff", "silence"]
