"""When a contact may fall: outside quiet hours and within the caps, by the customer's own clock and calendar."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.engagement.policies.domain import Caps, QuietHours

WEEK = 7
_HORIZON_DAYS = 3700


@lru_cache(maxsize=1024)
def zone_of(name: str | None, house: str) -> ZoneInfo:
    """The zone of that name; the house's where it is missing or unknown."""
    try:
        return ZoneInfo(name or house)
    except (KeyError, ValueError, OSError):
        return ZoneInfo(house)


def is_quiet(at: datetime, quiet: QuietHours, zone: ZoneInfo) -> bool:
    """Whether the wall clock of ``zone`` stands within the quiet hours (their start included, their end not)."""
    wall = at.astimezone(zone).time()
    start, end = quiet.from_, quiet.until
    if start <= end:
        return start <= wall < end
    return wall >= start or wall < end


def next_open(at: datetime, quiet: QuietHours, zone: ZoneInfo) -> datetime:
    """The first instant from ``at`` on outside quiet hours, in UTC."""
    if not is_quiet(at, quiet, zone):
        return at.astimezone(UTC)
    day = at.astimezone(zone).date()
    opening = _wall(day, quiet.until, zone)
    while opening < at or is_quiet(opening, quiet, zone):
        # Twice only where a clock change repeats or swallows the opening.
        day += timedelta(days=1)
        opening = _wall(day, quiet.until, zone)
    return opening


class Taken:
    """The local dates on which a customer's contacts fall, as the caps count them."""

    def __init__(self, instants: Iterable[datetime], zone: ZoneInfo) -> None:
        self.zone = zone
        self.dates = Counter(at.astimezone(zone).date() for at in instants)

    def add(self, at: datetime) -> None:
        """Another contact falls at that instant."""
        self.dates[at.astimezone(self.zone).date()] += 1

    def has_room(self, at: datetime, caps: Caps, per_month: int | None = None) -> bool:
        """Whether one contact more at that instant stays within the caps."""
        day = at.astimezone(self.zone).date()
        if self.dates[day] >= caps.per_day:
            return False
        if per_month is not None and self._in_month(day) >= per_month:
            return False
        around = [self.dates[day + timedelta(days=n)] for n in range(1 - WEEK, WEEK)]
        return all(sum(around[first : first + WEEK]) < caps.per_week for first in range(WEEK))

    def _in_month(self, day: date) -> int:
        return sum(n for at, n in self.dates.items() if (at.year, at.month) == (day.year, day.month))


def place(
    wish: datetime, taken: Taken, quiet: QuietHours, caps: Caps, per_month: int | None = None
) -> datetime:
    """The first instant from ``wish`` on that quiet hours and caps allow, in UTC.

    Policies allow at least one contact a day, week and month, so there always is one.
    """
    at = next_open(wish, quiet, taken.zone)
    for _ in range(_HORIZON_DAYS):
        if taken.has_room(at, caps, per_month):
            return at
        day = at.astimezone(taken.zone).date() + timedelta(days=1)
        at = next_open(_wall(day, time.min, taken.zone), quiet, taken.zone)
    raise AssertionError(f"no room within {_HORIZON_DAYS} days of {wish.isoformat()}")


def _wall(day: date, wall: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, wall, zone).astimezone(UTC)
