"""The one source of time. Every service takes its time from here."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time, aware and in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class VirtualClock:
    """Stands still until it is set forward: for trials that live weeks in seconds."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock needs a time zone: write the start with an offset, e.g. +08:00")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def set(self, at: datetime) -> None:
        """Moves to ``at``. Raises ValueError when that lies in the past."""
        if at < self._now:
            raise ValueError(f"the clock stands at {self._now.isoformat()}: it never goes back")
        self._now = at.astimezone(UTC)
