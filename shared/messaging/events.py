"""An event as the consumers see it, and why one is refused."""

from datetime import datetime
from typing import Any

import msgspec

from shared.contracts.topics import Topic
from shared.contracts.types import Cause


class Event(msgspec.Struct, frozen=True):
    """A valid event. ``data`` is the struct of its topic; ``digest`` the SHA-256 of type and data in canonical form."""

    topic: Topic
    source: str
    id: str
    time: datetime
    data: Any
    body: bytes
    digest: bytes
    key: str
    backfill: bool = False
    traceparent: str | None = None

    @property
    def cause(self) -> Cause:
        """This event as the cause of another."""
        return Cause(source=self.source, id=self.id)


class Rejection(msgspec.Struct, frozen=True):
    """An event that a use case refuses for what it says: it becomes a dead letter."""

    event: Event
    code: str
    detail: str
    pointer: str = ""


class InvalidEvent(Exception):
    """Bytes that are no event of ours: a stable code, a JSON pointer to the field, and what to do.

    ``source`` is what the bytes say of it, cut to what a column takes; empty where they can't be read.
    """

    def __init__(self, code: str, detail: str, pointer: str = "", *, source: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.pointer = pointer
        self.source = source.replace("\x00", "")[:128]
