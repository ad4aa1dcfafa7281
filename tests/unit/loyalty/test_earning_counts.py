"""Rules on how often and how steadily a customer buys, on the tier he holds; and the ends of months and years."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.earning.memory import Counts, History, recall
from services.loyalty.programmes.domain import Expiry
from services.loyalty.programmes.rules import Period, name_of
from tests.unit.loyalty.builders import START, ZONE, back, order, points, programme, with_returns

PERIODS: tuple[Period, ...] = get_args(Period)


def nth(n: int, per: str) -> dict[str, Any]:
    return {"id": "nth", "order": 1, "on": "nth-purchase", "nth": {"n": n, "per": per}, "effect": {"bonus": 100}}


def streak(n: int, per: str) -> dict[str, Any]:
    return {"id": "s", "order": 1, "on": "purchase", "when": {"streak": {"n": n, "per": per}}, "effect": {"bonus": 100}}


def extra(days: tuple[float, ...], rule: dict[str, Any]) -> list[int]:
    """What the rule gives of orders that earn 10 each."""
    return [got - 10 for got in points([order(f"o-{day}", day=day) for day in days], programme(rules=[rule]))]


@pytest.mark.parametrize(
    ("per", "given_"),
    [
        # START is Sunday, 1 March, at noon of the house: a day later it is another week, 30.6 days later April.
        ("day", [0, 100, 0, 0, 0]), ("week", [0, 100, 0, 100, 0]), ("month", [0, 100, 0, 0, 0]),
        ("lifetime", [0, 100, 0, 0, 0]),
    ],
)  # fmt: skip
def test_the_second_purchase_of_a_period_of_the_house_is_one_order(per: str, given_: list[int]) -> None:
    assert extra((0, 0.1, 1, 2, 30.6), nth(2, per)) == given_


def test_purchases_are_counted_anew_in_each_calendar_year() -> None:
    assert extra((0, 200, 304.6, 305.6, 306.6), nth(2, "year")) == [0, 100, 0, 0, 100]


def test_the_nth_purchase_counts_what_was_given_back_and_not_what_was_cancelled() -> None:
    gone = with_returns(order("o-1", day=0), [back("o-1", 1, 10, day=0.5)])
    cancelled = order("o-2", day=1, cancelled_at=START + timedelta(days=2))
    orders = [gone, cancelled, order("o-3", day=3)]
    assert points(orders, programme(rules=[nth(2, "lifetime")])) == [0, 0, 110]


def test_a_streak_is_of_calendar_weeks_of_the_house_each_with_a_purchase() -> None:
    # Sunday; Monday of the next week; Sunday of that week; the week after; then a week is left out.
    assert extra((0, 1, 7, 10, 24), streak(2, "week")) == [0, 100, 100, 100, 0]
    assert extra((0, 1, 7, 10, 24), streak(3, "week")) == [0, 0, 0, 100, 0]


def test_a_streak_of_months_goes_over_the_year() -> None:
    assert extra((250, 280, 310, 400), streak(3, "month")) == [0, 0, 100, 0]


def test_a_streak_holds_where_the_late_order_that_made_it_is_known() -> None:
    assert extra((0, 14), streak(2, "week")) == [0, 0]
    assert extra((0, 7, 14), streak(3, "week")) == [0, 0, 100]


@given(st.lists(st.integers(0, 900), min_size=1, max_size=12))
def test_counts_are_those_of_the_days_themselves(drawn: list[int]) -> None:
    days = [date(2024, 11, 1) + timedelta(days=n) for n in sorted(drawn)]
    counts = Counts()
    for number, day in enumerate(days, start=1):
        counts = counts.after(day)
        so_far = days[:number]
        for per in PERIODS:
            assert counts.number(per) == sum(name_of(per, one) == name_of(per, day) for one in so_far)
        weeks = {one - timedelta(days=one.weekday()) for one in so_far}
        months = {(one.year, one.month) for one in so_far}
        assert counts.streak("week") == _run(weeks, day - timedelta(days=day.weekday()), timedelta(days=7))
        assert counts.streak("month") == _run_of_months(months, (day.year, day.month))


def _run(starts: set[date], last: date, step: timedelta) -> int:
    length = 0
    while last in starts:
        length, last = length + 1, last - step
    return length


def _run_of_months(months: set[tuple[int, int]], last: tuple[int, int]) -> int:
    length = 0
    while last in months:
        length, last = length + 1, (last[0] - (last[1] == 1), last[1] - 1 or 12)
    return length


def test_what_was_kept_before_purchases_were_counted_has_to_be_folded_again() -> None:
    assert recall(START, 3, b'{"tea":["2026-03",50]}') is None
    assert recall(None, 0, b"{}") == History()


def test_a_rule_for_a_tier_is_about_what_is_bought_while_it_is_held() -> None:
    tiers = [
        {"name": "silver", "qualify": {"spend": "100.00", "window_days": 30}},
        {"name": "gold", "qualify": {"spend": "250.00", "window_days": 30}},
    ]
    orders = [order(f"o-{day}", 10_000, day=day) for day in (0, 1, 2, 3, 40)]

    def given_(*names: str) -> list[int]:
        rule = {"id": "r", "order": 1, "on": "purchase", "when": {"tier": list(names)}, "effect": {"bonus": 100}}
        return [got - 10 for got in points(orders, programme(rules=[rule], tiers=tiers, tier_grace_days=0))]

    assert given_("silver") == [0, 100, 100, 0, 0]
    assert given_("gold") == [0, 0, 0, 100, 0]
    assert given_("silver", "gold") == [0, 100, 100, 100, 0]


@pytest.mark.parametrize(
    ("expiry", "bought", "expires"),
    [
        # Taipei is eight hours ahead: the last day of its month or year ends at 16:00 UTC.
        (("month-end", 1), "2026-01-31T15:59:59", "2026-02-28T16:00:00"),
        (("month-end", 1), "2026-01-31T16:00:00", "2026-03-31T16:00:00"),
        (("month-end", 12), "2026-12-01T00:00:00", "2027-12-31T16:00:00"),
        (("year-end", 1), "2026-03-01T00:00:00", "2027-12-31T16:00:00"),
        (("year-end", 1), "2026-12-31T16:00:00", "2028-12-31T16:00:00"),
        (("never", 0), "2026-03-01T00:00:00", None),
    ],
)
def test_points_expire_at_the_end_of_a_month_or_year_of_the_house(
    expiry: tuple[Any, int], bought: str, expires: str | None
) -> None:
    def utc(at: str) -> datetime:
        return datetime.fromisoformat(at).replace(tzinfo=UTC)

    assert Expiry(*expiry).at(utc(bought), ZONE) == (expires and utc(expires))
