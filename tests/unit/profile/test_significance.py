"""The tests of significance against SciPy's."""

import math
import operator
import random
import statistics
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from services.profile.patterns.significance import (
    adjusted,
    basket,
    chi_squared_tail,
    frequency,
    longer_gap,
    shares,
    signed_rank,
    t_tail,
    two_counts,
)

COUNTS = st.integers(0, 400)


@given(st.floats(0.001, 300), st.integers(1, 40))
def test_the_tail_of_chi_squared_is_exact(x: float, freedom: int) -> None:
    assert chi_squared_tail(x, freedom) == pytest.approx(stats.chi2.sf(x, freedom), rel=1e-9, abs=1e-300)


@given(COUNTS, COUNTS)
def test_frequencies_are_judged_by_the_binomial(before: int, now: int) -> None:
    if before + now:
        assert frequency(before, now) == pytest.approx(stats.binomtest(now, before + now, 0.5).pvalue, rel=1e-9)
    else:
        assert frequency(before, now) is None


@given(st.lists(st.integers(0, 30), min_size=8, max_size=40), st.lists(st.integers(0, 30), min_size=8, max_size=40))
def test_baskets_are_judged_by_their_ranks(before: list[int], now: list[int]) -> None:
    if len({*before, *now}) == 1:
        assert basket(before, now) is None
    else:
        expected = stats.mannwhitneyu(before, now, method="asymptotic").pvalue
        assert basket(before, now) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.integers(-6, 6), min_size=8, max_size=11))
def test_few_differences_are_judged_by_all_their_signs(differences: list[int]) -> None:
    sizes = [abs(one) for one in differences if one]
    if len(sizes) < 8:
        assert signed_rank(differences) is None
        return
    ranks = stats.rankdata(sizes)
    distance = abs(sum(rank if one > 0 else -rank for rank, one in zip(ranks, filter(None, differences), strict=True)))
    signs = product((-1, 1), repeat=len(ranks))
    as_far = sum(abs(sum(map(operator.mul, ranks, one))) >= distance for one in signs)
    assert signed_rank(differences) == pytest.approx(as_far / 2 ** len(ranks))


@given(st.lists(st.integers(-30, 40).filter(bool), min_size=26, max_size=60))
def test_many_differences_are_judged_by_their_ranks(differences: list[int]) -> None:
    expected = stats.wilcoxon(differences, correction=True, method="approx").pvalue
    assert signed_rank([*differences, 0, 0]) == pytest.approx(expected, rel=1e-9)


def test_counted_signs_and_the_normal_ones_agree() -> None:
    dice = random.Random(9)
    for _ in range(50):
        differences = [dice.randint(-9, 12) or 1 for _ in range(25)]
        expected = stats.wilcoxon(differences, correction=True, method="approx").pvalue
        assert signed_rank(differences) == pytest.approx(expected, abs=0.01)


def test_shares_are_judged_by_chi_squared() -> None:
    before, now = {"tea": 40, "ware": 20, "rice": 30}, {"tea": 15, "ware": 45, "rice": 31}
    expected = stats.chi2_contingency([list(before.values()), list(now.values())], correction=False).pvalue
    assert shares(before, now) == pytest.approx(expected)
    assert shares(before, now) == shares(now, before)


def test_what_is_rare_is_counted_together() -> None:
    rare = {f"rare-{n}": 1 for n in range(10)}
    pooled = shares({"tea": 40, "ware": 20, **rare}, {"tea": 20, "ware": 40, **rare})
    assert pooled == shares({"tea": 40, "ware": 20, "rest": 10}, {"tea": 20, "ware": 40, "rest": 10})


def test_what_is_too_rare_even_together_is_left_out() -> None:
    before, now = {"tea": 40, "ware": 20}, {"tea": 20, "ware": 40}
    assert shares({**before, "rice": 1}, {**now, "salt": 1}) == shares(before, now) is not None


def test_too_little_is_not_judged() -> None:
    assert basket([1] * 7, list(range(20))) is None
    assert signed_rank([0] * 500 + [1] * 7) is None
    assert shares({"tea": 3}, {"tea": 1, "ware": 2}) is None
    assert shares({"tea": 50}, {}) is None
    assert shares({"tea": 50}, {"tea": 60}) is None


def test_a_difference_that_is_none_is_rarely_called_one() -> None:
    dice = random.Random(7)
    called = 0
    for _ in range(400):
        before, now = ([dice.gauss(1000, 300) for _ in range(25)] for _ in range(2))
        called += (basket([int(x) for x in before], [int(x) for x in now]) or 1) < 0.05
    assert called < 36


@pytest.mark.parametrize("freedom", [1, 2, 3, 6, 7, 23])
@pytest.mark.parametrize("t", [-2.0, 0.0, 0.7, 3.0, 9.0])
def test_students_tail_is_scipys(t: float, freedom: int) -> None:
    assert t_tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom), abs=1e-12)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_false_discoveries_are_held_as_scipy_holds_them(p_values: list[float]) -> None:
    expected: list[float] = list(stats.false_discovery_control(p_values)) if p_values else []
    assert adjusted(p_values) == pytest.approx(expected)


def test_a_longer_gap_is_judged_by_the_gaps_own_spread() -> None:
    gaps = [6.0, 8.0, 7.0, 7.0, 9.0, 6.0]
    logs = [math.log(gap) for gap in gaps]
    mean, spread = statistics.mean(logs), statistics.stdev(logs)
    rounded = math.hypot(spread, math.sqrt(1 / 12) / math.exp(mean)) * math.sqrt(1 + 1 / 6)
    assert longer_gap(12, 6, mean, spread) == pytest.approx(stats.t.sf((math.log(12) - mean) / rounded, 5))
    assert longer_gap(12, 6, mean, 0.0) < longer_gap(12, 6, mean, spread) < longer_gap(12, 6, mean, 1.0)


@pytest.mark.parametrize(("before", "now"), [(0, 0), (3, 9), (40, 40), (1200, 1300), (5000, 5400)])
def test_two_counts_of_any_size_are_compared(before: int, now: int) -> None:
    exact = stats.binomtest(before, before + now).pvalue if before + now else 1.0
    assert two_counts(before, now) == pytest.approx(exact, rel=0.02)
