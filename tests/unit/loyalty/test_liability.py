"""The roll-forward and the expected breakage, from what months wrote down."""

from datetime import date

import pytest

from services.loyalty.liability.domain import (
    Movement,
    ages_of,
    breakage,
    months_between,
    roll_forward,
    total,
)

JANUARY = date(2026, 1, 1)


def month(n: int) -> date:
    return date(2026 + (n - 1) // 12, (n - 1) % 12 + 1, 1)


def moved(issued: int, booked: int, debit: str, credit: str, points: int, version: int = 1) -> list[Movement]:
    return [
        Movement(month(issued), version, month(booked), credit, points),
        Movement(month(issued), version, month(booked), debit, -points),
    ]


def issued_and_gone(issued: int, until: int) -> list[Movement]:
    """1000 points, of which 200 are used in each of the three months after, and 400 expire in the fourth."""
    found = moved(issued, issued, "issued", "available", 1000)
    for age in (1, 2, 3):
        found += moved(issued, issued + age, "available", "redeemed", 200)
    found += moved(issued, issued + 4, "available", "expired", 400)
    return [one for one in found if one.booked < month(until)]


def test_columns_lead_from_the_opening_to_the_closing_and_what_was_taken_off_is_told_as_such() -> None:
    movements = [
        *moved(1, 1, "issued", "pending", 100),
        *moved(1, 2, "pending", "available", 100),
        *moved(1, 2, "available", "redeemed", 30),
        *moved(1, 2, "redeemed", "adjusted", 10),
        *moved(1, 2, "available", "reversed", 5),
        *moved(1, 2, "held", "expired", 7),
        *moved(1, 2, "available", "held", 7),
        *moved(1, 2, "compensation", "available", 3),
    ]
    (line,) = roll_forward(movements, month(2), {1: 25})
    assert line.points == {
        "opening": 100, "issued": 0, "used": 20, "expired": 7, "reversed": 5, "adjusted": -10, "compensation": 3,
        "transferred": 0, "closing": 61,
    }  # fmt: skip
    assert line.money == {column: 25 * points for column, points in line.points.items()}
    assert line.places == {"pending": 0, "available": 61, "held": 0, "debt": 0}


def test_a_version_without_a_value_makes_no_money_and_what_is_owed_is_less() -> None:
    movements = [
        *moved(1, 1, "issued", "available", 10),
        *moved(2, 2, "debt", "redeemed", 4, version=2),
        Movement(None, None, month(2), "redeemed", 3),
        Movement(None, None, month(2), "debt", -3),
    ]
    lines = roll_forward(movements, month(2), {1: 1, 2: None, None: 1})
    assert [line.issued for line in lines] == [month(1), month(2), None]
    assert [line.money is None for line in lines] == [False, True, False]
    everything = total(lines)
    assert everything.money is None
    assert (everything.points["closing"], everything.places["debt"]) == (3, 7)


def test_breakage_goes_by_what_became_of_the_points_of_earlier_months() -> None:
    movements = [one for issued in range(1, 10) for one in issued_and_gone(issued, until=10)]
    ages = ages_of(movements, month(10))
    assert [(age.age, age.open, age.used, age.expired, age.cohorts) for age in ages[:5]] == [
        (0, 9000, 0, 0, 9),
        (1, 8000, 1600, 0, 8),
        (2, 5600, 1400, 0, 7),
        (3, 3600, 1200, 0, 6),
        (4, 2000, 0, 2000, 5),
    ]
    lines = roll_forward(movements, month(10), {1: 2})
    expected = breakage(lines, ages, month(10))
    # Of each month's points 400 will have expired in the end: of May's, June's, July's, August's and September's.
    open_ones = [line for line in lines if line.points["closing"]]
    assert (expected.points, expected.money) == (400 * len(open_ones), 800 * len(open_ones))
    assert expected.of_points == sum(line.points["closing"] for line in open_ones)


def test_of_points_whose_fate_too_few_have_shared_nothing_is_said() -> None:
    movements = [one for issued in range(1, 7) for one in issued_and_gone(issued, until=7)]
    expected = breakage(roll_forward(movements, month(7), {1: None}), ages_of(movements, month(7)), month(7))
    # January and February alone have seen their points expire.
    assert (expected.points, expected.of_points) == (None, 0)
    movements = [one for issued in range(1, 8) for one in issued_and_gone(issued, until=8)]
    expected = breakage(roll_forward(movements, month(8), {1: None}), ages_of(movements, month(8)), month(8))
    assert (expected.points, expected.money) == (1600, None)


@pytest.mark.parametrize(("earlier", "later", "months"), [(1, 1, 0), (1, 12, 11), (12, 13, 1), (3, 30, 27)])
def test_months_are_counted_over_the_years(earlier: int, later: int, months: int) -> None:
    assert months_between(month(earlier), month(later)) == months
