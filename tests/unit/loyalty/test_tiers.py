"""Tiers by spend, points, orders and tenure, over rolling and calendar windows, with grace."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.loyalty.programmes.bodies import Qualify
from services.loyalty.tiers.domain import Ladder, Measured, Spend, Step
from tests.unit.loyalty.builders import START, programme

TIERS = [
    {"name": "silver", "qualify": {"spend": "100.00", "window_days": 30}},
    {"name": "gold", "qualify": {"spend": "300.00", "window_days": 60}},
]
DAY = timedelta(days=1)


def ladder(*spends: tuple[float, int], grace: int = 10) -> Ladder:
    """Spends as (day, money of the currency)."""
    version = programme(tiers=TIERS, tier_grace_days=grace)
    return Ladder(version, [(START + day * DAY, money * 100) for day, money in spends])


def test_a_tier_is_reached_at_the_purchase_that_crosses() -> None:
    spent = ladder((0, 60), (5, 40))
    assert spent.at(START + 5 * DAY - timedelta(microseconds=1)) is None
    assert spent.at(START + 5 * DAY) == "silver"


def test_a_tier_falls_at_the_instant_the_spend_leaves_the_window_and_the_grace_is_over() -> None:
    spent = ladder((0, 60), (5, 40))
    assert spent.next_step(START + 5 * DAY) == Step(START + 40 * DAY, None)
    assert spent.at(START + 40 * DAY - timedelta(microseconds=1)) == "silver"
    assert spent.at(START + 40 * DAY) is None


def test_buying_within_the_grace_keeps_the_tier_without_a_break() -> None:
    standing = ladder((0, 100), (35, 100)).standing(START + 45 * DAY)
    assert standing is not None
    assert standing.since == START
    assert standing.projected == Step(START + 75 * DAY, None)


def test_tiers_fall_step_by_step() -> None:
    spent = ladder((0, 200), (20, 100), grace=0)
    assert list(spent.steps(START, START + 365 * DAY)) == [
        Step(START + 20 * DAY, "gold"),
        Step(START + 60 * DAY, None),
    ]


def test_progress_tells_what_is_missing_to_the_next_tier() -> None:
    standing = ladder((0, 120)).standing(START + DAY)
    assert standing is not None
    assert (standing.name, standing.next, standing.missing) == ("silver", "gold", 18_000)


def test_a_buy_that_was_returned_raises_no_tier() -> None:
    assert ladder((0, 0)).at(START) is None


spends = st.lists(st.tuples(st.integers(0, 120), st.integers(1, 200)), max_size=12)


@given(spends, st.integers(0, 20), st.integers(0, 200))
def test_the_steps_tell_the_tier_of_every_instant(drawn: list[tuple[int, int]], grace: int, day: int) -> None:
    spent = ladder(*drawn, grace=grace)
    tier = None
    for step in spent.steps(START - DAY, START + day * DAY):
        tier = step.to
    assert tier == spent.at(START + day * DAY)


@given(spends, st.integers(0, 20), st.integers(0, 300))
def test_a_held_tier_was_qualified_for_within_the_grace(drawn: list[tuple[int, int]], grace: int, day: int) -> None:
    at = START + day * DAY
    strict = ladder(*drawn, grace=0)
    hours = [at - timedelta(hours=12) * n for n in range(2 * grace)] or [at]
    best = max((strict.rank(strict.at(hour)) for hour in hours), default=-1)
    held = ladder(*drawn, grace=grace)
    assert held.rank(held.at(at)) == best


TAIPEI = ZoneInfo("Asia/Taipei")


def by(*qualify: dict[str, Any], grace: int = 0, orders: list[Spend] | None = None) -> Ladder:
    """Tiers one, two, … of these, in a house in Taipei."""
    tiers = [{"name": name, "qualify": asked} for name, asked in zip(("one", "two", "three"), qualify, strict=False)]
    version = msgspec.structs.replace(programme(tiers=tiers, tier_grace_days=grace), zone=TAIPEI)
    return Ladder(version, orders or [])


def on(day: float, money: int = 1, points: int = 0) -> Spend:
    return START + day * DAY, money * 100, points


def test_a_tier_by_orders_counts_those_of_which_something_stands() -> None:
    bought = by({"orders": 3, "window_days": 30}, orders=[on(0), on(5), on(9)])
    assert bought.at(START + 8 * DAY) is None
    assert bought.at(START + 9 * DAY) == "one"
    assert bought.next_step(START + 9 * DAY) == Step(START + 30 * DAY, None)


def test_a_tier_by_points_counts_what_orders_earned() -> None:
    bought = by({"points": 50, "window_days": 30}, orders=[on(0, 1000, 20), on(5, 1, 30)])
    assert bought.at(START + 4 * DAY) is None
    assert bought.at(START + 5 * DAY) == "one"


def test_a_tier_by_tenure_is_reached_by_time_alone_and_never_falls() -> None:
    bought = by({"tenure_days": 100}, orders=[on(3), on(0)])
    assert bought.reaches_any
    assert bought.next_step(START) == Step(START + 100 * DAY, "one")
    assert bought.at(START + 9000 * DAY) == "one"
    assert bought.next_step(START + 100 * DAY) is None
    assert not by({"tenure_days": 100}).reaches_any


def test_of_several_measures_all_have_to_hold() -> None:
    asked = {"spend": "100.00", "orders": 2, "tenure_days": 20, "window_days": 30}
    bought = by(asked, orders=[on(0, 90), on(10, 90)])
    assert bought.at(START + 19 * DAY) is None
    assert list(bought.steps(START, START + 365 * DAY)) == [
        Step(START + 20 * DAY, "one"),
        Step(START + 30 * DAY, None),
    ]


@pytest.mark.parametrize(
    ("period", "ends"),
    [("year", datetime(2027, 1, 1, tzinfo=TAIPEI)), ("quarter", datetime(2026, 4, 1, tzinfo=TAIPEI))],
)
def test_a_calendar_window_ends_with_the_period_of_the_house(period: str, ends: datetime) -> None:
    bought = by({"spend": "100.00", "calendar": period}, grace=10, orders=[on(0, 100)])
    assert bought.at(START) == "one"
    assert bought.next_step(START) == Step(ends.astimezone(UTC) + 10 * DAY, None)


def test_what_was_bought_in_two_calendar_years_is_not_added_up() -> None:
    eve = datetime(2026, 12, 31, 23, 59, tzinfo=TAIPEI)
    bought = by({"spend": "100.00", "calendar": "year"}, orders=[(eve, 6_000), (eve + timedelta(minutes=2), 6_000)])
    assert bought.at(eve + DAY) is None


def test_tiers_that_ask_for_different_things_stand_in_the_order_of_the_list() -> None:
    bought = by({"spend": "900.00", "window_days": 30}, {"orders": 2, "window_days": 30}, orders=[on(0), on(1)])
    assert bought.at(START + DAY) == "two"


def test_progress_tells_everything_that_the_next_tier_asks_for() -> None:
    aim = {"spend": "500.00", "points": 40, "orders": 5, "tenure_days": 60, "window_days": 30}
    bought = by({"orders": 1, "window_days": 365}, aim, orders=[on(0, 200, 20), on(40, 150, 15), on(50, 50, 5)])
    standing = bought.standing(START + 50 * DAY)
    assert standing is not None
    assert (standing.name, standing.next, standing.spend, standing.missing) == ("one", "two", 20_000, 30_000)
    assert list(standing.measured) == [
        Measured("spend", 20_000, 50_000),
        Measured("points", 20, 40),
        Measured("orders", 2, 5),
        Measured("tenure_days", 50, 60),
    ]
    assert [one.missing for one in standing.measured] == [30_000, 20, 3, 10]


measured = st.builds(
    lambda spend, points, orders, tenure, window: (spend | points | orders and {**spend, **points, **orders, **window})
    | tenure,
    st.sampled_from([{}, {"spend": "150.00"}]),
    st.sampled_from([{}, {"points": 60}]),
    st.sampled_from([{}, {"orders": 2}]),
    st.sampled_from([{}, {"tenure_days": 40}]),
    st.sampled_from([{"window_days": 45}, {"calendar": "quarter"}, {"calendar": "year"}]),
).filter(bool)
bought = st.lists(st.builds(on, st.integers(0, 200), st.integers(1, 100), st.integers(0, 50)), max_size=8)


@given(measured, bought, st.integers(0, 400))
def test_a_tier_without_grace_is_held_exactly_while_all_that_it_asks_for_is_reached(
    asked: dict[str, Any], orders: list[Spend], day: int
) -> None:
    at = START + day * DAY
    climbed = by(asked, orders=orders)
    (tier,) = climbed._tiers
    counted = list(climbed.measured(tier, at))
    begun = any(order[0] <= at for order in orders)
    assert (climbed.at(at) == "one") == (begun and all(not one.missing for one in counted))


@given(measured, measured, bought, bought, st.integers(0, 20), st.integers(0, 400))
def test_whoever_bought_more_never_stands_lower(
    low: dict[str, Any], high: dict[str, Any], orders: list[Spend], more: list[Spend], grace: int, day: int
) -> None:
    at = START + day * DAY
    before, after = (by(low, high, grace=grace, orders=some) for some in (orders, orders + more))
    assert after.rank(after.at(at)) >= before.rank(before.at(at))


@given(measured, bought, st.integers(0, 20), st.integers(0, 400))
def test_the_steps_tell_the_tier_of_every_instant_by_any_measure(
    asked: dict[str, Any], orders: list[Spend], grace: int, day: int
) -> None:
    climbed = by(asked, grace=grace, orders=orders)
    tier = None
    for step in climbed.steps(START - DAY, START + day * DAY):
        assert step.to != tier
        tier = step.to
    assert tier == climbed.at(START + day * DAY)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"window_days": 365},
        {"spend": "1.00"},
        {"orders": 3},
        {"points": 3, "window_days": 30, "calendar": "year"},
        {"tenure_days": 30, "window_days": 30},
        {"orders": 3, "calendar": "month"},
    ],
)
def test_a_tier_asks_for_something_and_says_in_which_window(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Qualify.model_validate(asked)
