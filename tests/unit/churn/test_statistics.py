from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import reduce
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.churn.scoring.statistics import LateFact, PurchaseFact, Statistics, apply, fold, is_late

TAIPEI = ZoneInfo("Asia/Taipei")
START = datetime(2026, 1, 1, 4, tzinfo=UTC)


def bought(hours: float, net: int | None = 100_00, key: str = "", **more: int) -> PurchaseFact:
    key = key or f"pos:{hours}"
    return PurchaseFact(
        order_id=key, occurred_at=START + timedelta(hours=hours), net_minor=net, source="/pos", id=key, **more
    )


def days(*gaps: int) -> list[PurchaseFact]:
    at, facts = 0, [bought(0)]
    for gap in gaps:
        at += gap
        facts.append(bought(24 * at))
    return facts


@st.composite
def histories(draw: st.DrawFn) -> list[PurchaseFact]:
    hours = draw(st.lists(st.integers(0, 24 * 40), max_size=15))
    return [
        bought(
            hour, draw(st.sampled_from([None, 0, 1, 50_00, 120_00])), f"o{i}",
            returns=draw(st.integers(0, 1)), returned_minor=draw(st.sampled_from([0, 30_00])),
        )
        for i, hour in enumerate(hours)
    ]  # fmt: skip


@given(histories(), st.randoms(use_true_random=False))
def test_any_order_of_the_facts_folds_to_the_same_state(facts: list[PurchaseFact], random: Random) -> None:
    assert fold(random.sample(facts, len(facts)), TAIPEI) == fold(facts, TAIPEI)


@given(histories(), st.randoms(use_true_random=False))
def test_applying_what_is_not_late_and_folding_again_else_agrees_with_a_fold(
    facts: list[PurchaseFact], random: Random
) -> None:
    state, seen = Statistics(), []
    for fact in random.sample(facts, len(facts)):
        seen.append(fact)
        state = fold(seen, TAIPEI) if is_late(state, fact, TAIPEI) else apply(state, fact, TAIPEI)
        assert state == fold(seen, TAIPEI)


@given(histories())
def test_occasions_are_the_days_of_the_house_zone_with_a_purchase(facts: list[PurchaseFact]) -> None:
    state = fold(facts, TAIPEI)
    paid = [fact for fact in facts if fact.net_minor is None or fact.net_minor > 0]
    on = {fact.occurred_at.astimezone(TAIPEI).date().toordinal() for fact in paid}
    assert (state.n_orders, state.n_occasions) == (len(paid), len(on))
    assert state.gap_sum == (max(on) - min(on) if on else 0)
    assert state.net_minor == sum(fact.net_minor or 0 for fact in facts)
    assert state.n_returns == sum(fact.returns for fact in facts)


def test_purchases_of_one_day_are_one_occasion_with_their_values_summed() -> None:
    state = fold([bought(0), bought(5, net=20_00), bought(24, net=30_00)], TAIPEI)
    assert (state.n_orders, state.n_occasions, state.recent_gaps) == (3, 2, (1,))
    assert state.recent_values == (120_00, 30_00)
    assert state.mean_value == 75_00


def test_midnight_is_that_of_the_house_zone() -> None:
    evening = [bought(11.9, key="a"), bought(12.1, key="b")]
    assert fold(evening, TAIPEI).n_occasions == 2
    assert fold(evening, UTC).n_occasions == 1


def test_an_order_returned_in_full_is_no_purchase_but_its_return_counts() -> None:
    state = fold([bought(0, net=0, returns=1, returned_minor=80_00)], TAIPEI)
    assert (state.n_orders, state.n_occasions, state.last_at) == (0, 0, None)
    assert (state.n_returns, state.returned_minor) == (1, 80_00)


def test_an_order_in_another_currency_is_counted_and_not_summed() -> None:
    state = fold([bought(0, net=None), bought(48, net=60_00)], TAIPEI)
    assert (state.n_occasions, state.n_valued, state.mean_value) == (2, 1, 60_00)


def test_the_usual_gap_is_the_median_of_the_last_eight() -> None:
    assert fold(days(), TAIPEI).usual_gap is None
    assert fold(days(5, 7, 90), TAIPEI).usual_gap == 7
    assert fold(days(*[100] * 5, *[4] * 8), TAIPEI).usual_gap == 4


def test_gap_sums_keep_every_gap() -> None:
    state = fold(days(*range(1, 13)), TAIPEI)
    assert (state.gap_count, state.gap_sum, state.gap_square_sum) == (12, 78, 650)


def test_a_fact_of_an_earlier_day_is_refused() -> None:
    state = reduce(lambda s, f: apply(s, f, TAIPEI), days(3), Statistics())
    late = bought(24, key="late")
    assert is_late(state, late, TAIPEI)
    with pytest.raises(LateFact):
        apply(state, late, TAIPEI)


def test_instants_are_kept_in_utc_whatever_offset_they_came_with() -> None:
    state = fold([msg_in(TAIPEI)], TAIPEI)
    assert state == fold([msg_in(UTC)], TAIPEI)
    assert state.last_at is not None
    assert state.last_at.tzinfo is UTC


def msg_in(zone: tzinfo) -> PurchaseFact:
    return PurchaseFact("o", START.astimezone(zone), 1, "/pos", "o")
