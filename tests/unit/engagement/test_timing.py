"""Quiet hours and caps hold in every zone and across clock changes."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from services.engagement.contacts.timing import Taken, is_quiet, next_open, place, zone_of
from services.engagement.policies.domain import Caps, QuietHours

ZONES = [
    "Asia/Taipei", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns",
    "Pacific/Apia", "Africa/Casablanca", "America/Havana", "UTC",
]  # fmt: skip
instants = st.datetimes(datetime(2010, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))
zones = st.sampled_from(ZONES).map(ZoneInfo)
walls = st.times().map(lambda wall: f"{wall.hour:02}:{wall.minute:02}")
quiet_hours = st.builds(QuietHours, start=walls, end=walls)
caps = st.integers(1, 3).flatmap(
    lambda day: st.builds(Caps, per_day=st.just(day), per_week=st.integers(1, 5))
)
NIGHT = QuietHours(start="21:00", end="09:00")


@given(at=instants, zone=zones, quiet=quiet_hours)
def test_an_open_instant_is_never_quiet_and_never_earlier(at: datetime, zone: ZoneInfo, quiet: QuietHours) -> None:
    opened = next_open(at, quiet, zone)
    assert opened >= at
    assert not is_quiet(opened, quiet, zone)
    assert opened - at <= timedelta(days=3)


@given(at=instants, zone=zones, quiet=quiet_hours)
def test_an_instant_outside_quiet_hours_is_left_alone(at: datetime, zone: ZoneInfo, quiet: QuietHours) -> None:
    if not is_quiet(at, quiet, zone):
        assert next_open(at, quiet, zone) == at


@given(wishes=st.lists(instants, max_size=12), zone=zones, rule=caps, quiet=quiet_hours, month=st.none() | st.just(2))
def test_contacts_placed_one_after_another_never_break_the_caps(
    wishes: list[datetime], zone: ZoneInfo, rule: Caps, quiet: QuietHours, month: int | None
) -> None:
    taken = Taken((), zone)
    placed = []
    for wish in wishes:
        at = place(wish, taken, quiet, rule, month)
        assert at >= wish
        assert not is_quiet(at, quiet, zone)
        taken.add(at)
        placed.append(at.astimezone(zone).date())
    for day in placed:
        assert sum(other == day for other in placed) <= rule.per_day
        assert sum(day <= other < day + timedelta(days=7) for other in placed) <= rule.per_week
        if month is not None:
            assert sum((o.year, o.month) == (day.year, day.month) for o in placed) <= month


def test_the_night_before_the_clocks_change_opens_at_nine_by_the_new_clock() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    opened = next_open(datetime(2026, 3, 28, 21, 30, tzinfo=UTC), NIGHT, berlin)
    assert opened == datetime(2026, 3, 29, 7, 0, tzinfo=UTC)


def test_nine_in_the_evening_is_quiet_and_nine_in_the_morning_is_not() -> None:
    taipei = ZoneInfo("Asia/Taipei")
    assert is_quiet(datetime(2026, 11, 20, 13, 0, tzinfo=UTC), NIGHT, taipei)
    assert not is_quiet(datetime(2026, 11, 21, 1, 0, tzinfo=UTC), NIGHT, taipei)


def test_equal_ends_mean_never_quiet() -> None:
    assert not is_quiet(datetime(2026, 11, 20, tzinfo=UTC), QuietHours(start="08:00", end="08:00"), ZoneInfo("UTC"))


def test_an_unknown_zone_is_the_houses() -> None:
    assert zone_of("Mars/Olympus", "Asia/Taipei").key == "Asia/Taipei"
    assert zone_of("../../etc/passwd", "Asia/Taipei").key == "Asia/Taipei"
    assert zone_of(None, "Asia/Taipei").key == "Asia/Taipei"
    assert zone_of("Europe/Berlin", "Asia/Taipei").key == "Europe/Berlin"
