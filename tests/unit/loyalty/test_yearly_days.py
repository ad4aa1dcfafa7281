"""Days that come once a year, solar and lunar."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.occasions.domain import Celebrated, Yearly, last_until

TAIPEI = ZoneInfo("Asia/Taipei")
MID_AUTUMN = Yearly(8, 15, is_lunar=True)
DAYS = st.builds(
    Yearly, st.integers(1, 12), st.integers(1, 29), st.booleans(), st.booleans()
).map(lambda one: one if one.is_lunar else Yearly(one.month, min(one.day, 28)))


def found(yearly: Yearly, first: date) -> Celebrated:
    celebrated = yearly.from_day(first)
    assert celebrated is not None
    return celebrated


def test_the_29th_of_february_is_the_28th_in_other_years() -> None:
    leap_day = Yearly(2, 29)
    assert [leap_day.of_year(year) for year in (2027, 2028)] == [date(2027, 2, 28), date(2028, 2, 29)]


def test_a_lunar_day_moves_through_the_solar_year() -> None:
    days = [found(MID_AUTUMN, date(year, 1, 1)).day for year in (2025, 2026, 2027)]
    assert days == [date(2025, 10, 6), date(2026, 9, 25), date(2027, 9, 15)]


def test_a_leap_month_s_day_is_its_month_s_where_there_is_none() -> None:
    leap = Yearly(6, 1, is_lunar=True, leap=True)
    assert found(leap, date(2025, 1, 1)).day == date(2025, 7, 25)
    assert found(leap, date(2026, 1, 1)).day == found(Yearly(6, 1, is_lunar=True), date(2026, 1, 1)).day


def test_a_lunar_day_that_comes_twice_in_a_solar_year_is_of_two_years() -> None:
    last_month = Yearly(12, 8, is_lunar=True)
    one = found(last_month, date(2025, 1, 1))
    two = found(last_month, one.day + timedelta(days=1))
    assert one.day.year == 2025
    assert (two.year, one.year) == (2025, 2024)
    assert not two.repeats(one)


def test_a_changed_day_is_the_same_over_again_within_the_calendar_year() -> None:
    given_on = found(Yearly(3, 1), date(2026, 1, 1))
    assert found(Yearly(11, 20), date(2026, 1, 1)).repeats(given_on)
    assert found(MID_AUTUMN, date(2026, 1, 1)).repeats(given_on)
    assert not found(Yearly(11, 20), date(2027, 1, 1)).repeats(given_on)


@given(DAYS, st.dates(date(2001, 1, 1), date(2097, 12, 31)))
def test_the_next_time_is_never_missed_and_never_more_than_a_leap_year_away(yearly: Yearly, first: date) -> None:
    celebrated = found(yearly, first)
    assert timedelta() <= celebrated.day - first < timedelta(days=385)
    assert found(yearly, celebrated.day) == celebrated
    assert Yearly.read(yearly.name) == yearly


@given(DAYS, st.integers(0, 2000))
def test_of_days_that_passed_the_last_one_stands_and_the_next_is_still_to_come(yearly: Yearly, days: int) -> None:
    now = datetime(2026, 11, 20, 4, tzinfo=UTC) + timedelta(days=days)
    last, following = last_until(yearly, date(2026, 11, 20), TAIPEI, now)
    assert following is not None
    assert following > now
    if last is not None:
        assert last.at(TAIPEI) <= now
        assert found(yearly, last.day + timedelta(days=1)).at(TAIPEI) == following
