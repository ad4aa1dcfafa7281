"""Tiers by rolling spend, with grace."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.tiers.domain import Ladder, Step
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
