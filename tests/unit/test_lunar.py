"""The lunar calendar has its days where the almanacs have them."""

from datetime import date, timedelta

import pytest

from shared.lunar import FIRST, LAST, lunar_date


@pytest.mark.parametrize(
    ("lunar", "day"),
    [
        ((2000, 1, 1), date(2000, 2, 5)),
        ((2024, 1, 1), date(2024, 2, 10)),
        ((2025, 6, 1), date(2025, 6, 25)),
        ((2026, 1, 1), date(2026, 2, 17)),
        ((2026, 8, 15), date(2026, 9, 25)),
        ((2027, 1, 1), date(2027, 2, 6)),
        ((2034, 1, 1), date(2034, 2, 19)),
        ((2050, 1, 1), date(2050, 1, 23)),
        ((2099, 1, 1), date(2099, 1, 21)),
    ],
)
def test_a_lunar_day_is_where_the_almanac_has_it(lunar: tuple[int, int, int], day: date) -> None:
    assert lunar_date(*lunar) == day


def test_leap_months_come_after_their_month() -> None:
    assert lunar_date(2025, 6, 1, leap=True) == date(2025, 7, 25)
    assert lunar_date(2033, 11, 1, leap=True) == date(2033, 12, 22)
    assert lunar_date(2023, 2, 1, leap=True) == date(2023, 3, 22)


def test_what_a_year_has_not_is_kept_on_the_nearest_day() -> None:
    assert lunar_date(2026, 6, 1, leap=True) == lunar_date(2026, 6, 1)
    last = lunar_date(2026, 2, 1) - timedelta(days=1)
    assert lunar_date(2026, 1, 30) == last


def test_years_follow_one_another_without_a_gap() -> None:
    for year in range(FIRST, LAST):
        length = (lunar_date(year + 1, 1, 1) - lunar_date(year, 1, 1)).days
        assert length in (353, 354, 355, 383, 384, 385)
        assert lunar_date(year + 1, 1, 1) - lunar_date(year, 12, 30) in (timedelta(days=1),)


@pytest.mark.parametrize("year", [FIRST - 1, LAST + 1])
def test_outside_of_the_table_there_is_no_answer(year: int) -> None:
    with pytest.raises(ValueError, match="the table has"):
        lunar_date(year, 1, 1)
