"""A contact: planned, handed over, made, or why not."""

from datetime import datetime
from typing import Literal

import msgspec

from services.engagement.customers.domain import Because
from shared.contracts.contacts import ContactPurpose
from shared.contracts.customers import ContactChannel

Status = Literal["planned", "handing-over", "sent", "done", "failed", "suppressed", "cancelled"]
OPEN: tuple[Status, ...] = ("planned", "handing-over")
MADE: tuple[Status, ...] = ("sent", "done")
TRANSITIONS: dict[Status, tuple[Status, ...]] = {
    "planned": ("handing-over", "done", "failed", "suppressed", "cancelled"),
    "handing-over": ("planned", "sent", "failed"),
    "sent": (),
    "done": (),
    "failed": (),
    "suppressed": (),
    "cancelled": (),
}


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """A contact with a customer. ``episode`` is what it answers (a forecast's sequence; 0 for the rhythm),
    ``episode_of`` of which of the person's ids; empty for the contact's own.

    ``pinned``: staff set its time. ``task_id``: a person has it in hand. ``made_at``: sent, done, or in flight since.
    """

    id: str
    customer_id: str
    purpose: ContactPurpose
    channel: ContactChannel
    due_at: datetime
    status: Status
    policy_version: int
    episode: int = 0
    pinned: bool = False
    task_id: str | None = None
    made_at: datetime | None = None
    reasons: tuple[Because, ...] = ()
    episode_of: str = ""

    @property
    def answers(self) -> tuple[str, int]:
        """The id whose risk it answers, and its episode: each id's forecasts have numbers of their own."""
        return self.episode_of or self.customer_id, self.episode

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    def is_fixed(self, now: datetime) -> bool:
        """Whether planning leaves it where it is: due, in hand, or set by staff."""
        return self.is_open and (
            self.status == "handing-over" or self.pinned or self.task_id is not None or self.due_at <= now
        )


class Wanted(msgspec.Struct, frozen=True):
    """A contact as the plan has it, before it is written down."""

    purpose: ContactPurpose
    channel: ContactChannel
    due_at: datetime
    policy_version: int
    reasons: tuple[Because, ...]
    episode: int = 0
    episode_of: str = ""


class IllegalTransition(Exception):
    """A contact can't go from one status to the other."""

    def __init__(self, current: Status, wanted: Status) -> None:
        super().__init__(f"a contact that is {current} can't become {wanted}")
        self.current = current


def check_transition(current: Status, wanted: Status) -> None:
    """Raises IllegalTransition where the status doesn't lead there."""
    if wanted not in TRANSITIONS[current]:
        raise IllegalTransition(current, wanted)
