"""The next time a wall clock shows a time of day, over days on which it jumps."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.jobs import next_daily

TAIPEI, BERLIN, NEW_YORK = ZoneInfo("Asia/Taipei"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("now", "at", "zone", "due"),
    [
        ("2026-11-20T18:59:59Z", time(3), TAIPEI, "2026-11-20T19:00:00Z"),
        ("2026-11-20T19:00:00Z", time(3), TAIPEI, "2026-11-21T19:00:00Z"),
        # 02:30 isn't there on the day that skips it: an hour later.
        ("2026-03-29T00:00:00Z", time(2, 30), BERLIN, "2026-03-29T01:30:00Z"),
        # 02:30 comes twice: the first counts, and the second is no reason to run again, or in the past.
        ("2026-10-25T00:00:00Z", time(2, 30), BERLIN, "2026-10-25T00:30:00Z"),
        ("2026-10-25T00:30:00Z", time(2, 30), BERLIN, "2026-10-26T01:30:00Z"),
        ("2026-10-25T01:15:00Z", time(2, 30), BERLIN, "2026-10-26T01:30:00Z"),
    ],
)
def test_the_next_instant_is_the_zones(now: str, at: time, zone: ZoneInfo, due: str) -> None:
    assert next_daily(datetime.fromisoformat(now), at, zone) == datetime.fromisoformat(due)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    st.times(),
    st.sampled_from([TAIPEI, BERLIN, NEW_YORK]),
)
def test_it_always_lies_ahead_and_within_a_day_and_a_jump(now: datetime, at: time, zone: ZoneInfo) -> None:
    due = next_daily(now, at, zone)
    assert now < due <= now + timedelta(hours=26)
    assert next_daily(due, at, zone) > due
