"""What engagement publishes of promises that staff made to customers: never their text, which it keeps."""

from shared.contracts.types import Derived, Id, Instant


class Promise(Derived):
    """A promise by its id, to be kept by ``due_at``; ``kind`` by the house's own word: call-back, replacement."""

    occurred_at: Instant
    promise_id: Id
    due_at: Instant
    kind: Id | None = None


class PromiseMade(Promise):
    """Somebody promised something; ``complaint_id``, ``order_id``: about what."""

    complaint_id: Id | None = None
    order_id: Id | None = None


class PromiseKept(Promise):
    """It was kept: late where ``occurred_at`` is after ``due_at``."""


class PromiseBroken(Promise):
    """It was not kept by ``due_at``. It may still be kept."""
