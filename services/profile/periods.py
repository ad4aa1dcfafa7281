"""Spans of days, and the span before to compare with."""

from datetime import date, timedelta

import msgspec


class Period(msgspec.Struct, frozen=True):
    """Days of the house, from ``since`` until the day before ``until``."""

    since: date
    until: date

    @property
    def before(self) -> "Period":
        """The period of the same length that ends where this one begins."""
        return Period(self.since - (self.until - self.since), self.since)


def period(since: date | None, until: date | None, today: date, *, days: int = 90) -> Period:
    """The period asked for: by default the last 90 days and today. It ends tomorrow at the latest.

    Raises ValueError where it would be empty, or longer than a century.
    """
    tomorrow = today + timedelta(days=1)
    end = min(until or tomorrow, tomorrow)
    start = since or end - timedelta(days=days)
    if start >= end:
        raise ValueError("from is a day before to, and not in the future")
    if (end - start).days > 36_600:
        raise ValueError("a period has a century at most")
    return Period(start, end)
