"""Member numbers tell a typing error; terms end on days that there are."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.enrolments.domain import is_member_number, member_number, months_after

TAIPEI = ZoneInfo("Asia/Taipei")
numbers = st.integers(1_000_001, 10**12).map(member_number)


@given(numbers)
def test_a_number_that_was_given_out_is_one(number: str) -> None:
    assert is_member_number(number)


@given(numbers, st.data())
def test_no_single_wrong_digit_goes_unnoticed(number: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(number) - 1))
    wrong = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != number[place]]))
    assert not is_member_number(number[:place] + wrong + number[place + 1 :])


@given(numbers, st.data())
def test_no_two_neighbours_swapped_go_unnoticed(number: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(number) - 2))
    swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    assert swapped == number or not is_member_number(swapped)


@pytest.mark.parametrize("text", ["", "0", "12a4", "１０００００１２", "-5"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert not is_member_number(text)


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2026-01-31T10:00:00+08:00", 1, "2026-02-28T10:00:00+08:00"),
        ("2026-11-20T00:30:00+08:00", 2, "2027-01-20T00:30:00+08:00"),
        ("2027-12-15T10:00:00+08:00", 12, "2028-12-15T10:00:00+08:00"),
    ],
)
def test_a_term_ends_at_the_same_time_of_a_day_that_there_is(start: str, months: int, end: str) -> None:
    ends = months_after(datetime.fromisoformat(start).astimezone(UTC), months, TAIPEI)
    assert ends == datetime.fromisoformat(end)
