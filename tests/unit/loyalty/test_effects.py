"""Who is held out, and what the difference to the others is worth."""

import random
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from services.loyalty.effects.domain import Group, Increment, Lacking, increment, is_held_out, points_given, student

IDS = [f"pos:{n}" for n in range(20_000)]


def group(spends: list[int], points: int = 0) -> Group:
    return Group(len(spends), sum(spends), sum(one * one for one in spends), points)


@pytest.mark.parametrize("percent", [1, 10, 50])
def test_so_many_are_held_out_as_the_percentage_says(percent: int) -> None:
    share = sum(is_held_out("tea-doubles", one, percent) for one in IDS) / len(IDS)
    assert share == pytest.approx(percent / 100, abs=4 * sqrt(percent / 100 * (1 - percent / 100) / len(IDS)))


def test_who_is_held_out_stays_so_at_a_higher_percentage_and_of_another_rule_it_is_others() -> None:
    ten, thirty = ({one for one in IDS if is_held_out("a", one, percent)} for percent in (10, 30))
    other = {one for one in IDS if is_held_out("b", one, 10)}
    assert ten < thirty
    assert len(ten & other) / len(ten) == pytest.approx(0.1, abs=0.03)


@given(st.lists(st.integers(0, 10**7), min_size=30, max_size=80), st.lists(st.integers(0, 10**7), min_size=30))
def test_the_interval_is_welch_s(treated: list[int], held_out: list[int]) -> None:
    found = increment(group(treated), group(held_out))
    assert isinstance(found, Increment)
    if len(set(treated)) == len(set(held_out)) == 1:
        assert found.low == found.mean == found.high
        return
    expected = stats.ttest_ind(treated, held_out, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-4, abs=1.0)


@pytest.mark.parametrize("degrees", [29, 30.5, 60, 1000, 10**6])
def test_the_quantile_is_student_s(degrees: float) -> None:
    assert student(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=1e-5)


def test_the_interval_holds_the_truth_as_often_as_it_says_also_for_skewed_spend() -> None:
    dice = random.Random(3)
    held = 0
    for _ in range(400):
        treated = [round(dice.lognormvariate(4, 1) + 10) for _ in range(450)]
        held_out = [round(dice.lognormvariate(4, 1)) for _ in range(150)]
        found = increment(group(treated), group(held_out))
        assert isinstance(found, Increment)
        held += found.low <= 10 <= found.high
    assert 0.92 <= held / 400 <= 0.985


def test_too_few_on_either_side_give_no_figure() -> None:
    assert increment(group([5] * 30), group([5] * 29)) == Lacking(30, 29)
    assert increment(Group(), Group()) == Lacking(0, 0)


def test_points_are_what_the_treated_got_beyond_their_share_of_the_others() -> None:
    groups = {"treated": group([0] * 90, 1000), "held-out": group([0] * 30, 200), "mixed": Group()}
    assert points_given(groups) == 400  # type: ignore[arg-type]  # the keys are sides
