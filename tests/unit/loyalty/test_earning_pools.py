"""What customers share goes by arrival, is never exceeded, and stays as it was granted."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.earning.domain import Judgement, fold
from services.loyalty.earning.pools import BUDGET, Pools
from services.loyalty.programmes.domain import Programme
from shared.contracts.orders import Order
from tests.unit.loyalty.builders import START, ZONE, back, order, programme, with_returns

TEA = {"id": "tea", "order": 1, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"multiply": "2"}}
SHARED = {**TEA, "cap": {"points": 30, "per": "month", "scope": "programme"}}
MONTH = "2026-03"


def judged(one: Order, version: Programme, pools: Pools) -> Judgement:
    """A customer's only order, in the pools as they stand."""
    return fold([one], lambda _: (version, 1), ZONE, pools)[1][0]


def awarded(judgement: Judgement) -> list[tuple[str, int, int, int]]:
    return [(part.rule, part.wanted, part.awarded, part.kept) for part in judgement.parts]


def test_a_cap_of_the_programme_gives_to_whoever_comes_first() -> None:
    version, pools = programme(rules=[SHARED]), Pools()
    orders = [order(f"o-{n}", 20_000, category="tea") for n in range(3)]
    assert [awarded(judged(one, version, pools))[1] for one in orders] == [
        ("tea", 20, 20, 20), ("tea", 20, 10, 10), ("tea", 20, 0, 0),
    ]  # fmt: skip
    assert pools.given == {("tea", MONTH): 30}
    april = order("o-4", 20_000, day=31, category="tea")
    assert awarded(judged(april, version, pools))[1] == ("tea", 20, 20, 20)


def test_a_budget_covers_the_base_then_the_rules_in_their_order() -> None:
    version, pools = programme(rules=[TEA], budget={"points": 30, "per": "year"}), Pools()
    assert awarded(judged(order("o", 20_000, category="tea"), version, pools)) == [
        ("base", 20, 20, 20), ("tea", 20, 10, 10),
    ]  # fmt: skip
    assert pools.given == {(BUDGET, "2026"): 30}


def test_what_an_order_was_granted_stays_whoever_came_since() -> None:
    version, pools = programme(rules=[SHARED]), Pools()
    first, second = (order(f"o-{n}", 20_000, category="tea") for n in range(2))
    before = [judged(one, version, pools) for one in (first, second)]
    gone = with_returns(first, [back("o-0", 1, 10)])
    assert judged(gone, version, pools).award.points == 0
    assert pools.given == {("tea", MONTH): 10}
    assert [judged(second, version, pools)] == before[1:], "nothing is judged anew since there is room again"
    third = order("o-3", 20_000, category="tea")
    assert awarded(judged(third, version, pools))[1] == ("tea", 20, 20, 20)
    half = judged(with_returns(second, [back("o-1", 1, 5)]), version, pools)
    assert awarded(half)[1] == ("tea", 20, 10, 5)


def test_a_corrected_order_asks_for_the_difference_and_one_that_never_was_gives_all_back() -> None:
    version, pools = programme(rules=[SHARED]), Pools()
    one = order("o-1", 10_000, category="tea")
    judged(one, version, pools)
    judged(order("o-2", 10_000, category="tea"), version, pools)
    more = order("o-1", 25_000, category="tea", version=2)
    assert awarded(judged(more, version, pools))[1] == ("tea", 25, 20, 20)
    assert judged(msgspec.structs.replace(more, cancelled_at=START), version, pools).award.points == 0
    assert pools.given == {("tea", MONTH): 10}
    moved = order("o-1", 25_000, day=31, category="tea", version=3)
    assert awarded(judged(moved, version, pools))[1] == ("tea", 25, 25, 25)
    assert pools.given == {("tea", MONTH): 10, ("tea", "2026-04"): 25}


def test_what_was_freed_and_given_to_others_isn_t_given_twice() -> None:
    version, pools = programme(rules=[SHARED]), Pools()
    one = order("o-1", 30_000, category="tea")
    judged(one, version, pools)
    judged(msgspec.structs.replace(one, lines=(), total=0, version=2), version, pools)
    judged(order("o-2", 20_000, category="tea"), version, pools)
    again = order("o-1", 30_000, category="tea", version=3)
    assert awarded(judged(again, version, pools))[1] == ("tea", 30, 10, 10)
    assert judged(again, version, pools) == judged(again, version, pools)
    assert pools.given == {("tea", MONTH): 30}


def test_who_gives_less_than_another_of_its_group_takes_nothing_of_its_pool() -> None:
    bonus = {"id": "bonus", "order": 2, "on": "purchase", "effect": {"bonus": 25}, "group": "g"}
    version, pools = programme(rules=[{**SHARED, "group": "g"}, bonus]), Pools()
    assert [awarded(judged(order(f"o-{n}", 20_000, category="tea"), version, pools))[1][0] for n in range(2)] == [
        "bonus", "bonus",
    ]  # fmt: skip
    assert pools.given.get(("tea", MONTH), 0) == 0
    large = order("o-3", 30_000, category="tea")
    assert [awarded(judged(large, version, pools))[1] for _ in range(2)] == [("tea", 30, 30, 30)] * 2


steps = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(0, 60_000), st.integers(0, 40), st.lists(st.integers(1, 6), max_size=3),
        st.booleans(), st.sampled_from(["tea", None]),
    ),
    max_size=25,
)  # fmt: skip


@given(steps, st.integers(0, 120), st.integers(0, 60))
def test_whatever_arrives_no_pool_is_exceeded_and_judging_again_changes_nothing(
    drawn: list[tuple[int, int, int, list[int], bool, str | None]], budget: int, limit: int
) -> None:
    capped: dict[str, Any] = {**SHARED, "cap": {"points": limit, "per": "month", "scope": "programme"}, "group": "g"}
    own = {**TEA, "id": "own", "effect": {"multiply": "1.5"}, "cap": {"points": 9, "per": "week"}, "group": "g"}
    version = programme(rules=[capped, own], budget={"points": budget, "per": "month"})
    pools, standing = Pools(), dict[str, Judgement]()
    for number, paid, day, returns, cancelled, category in drawn:
        one = order(f"o-{number}", paid, day=day, category=category, cancelled_at=START if cancelled else None)
        one = with_returns(one, [back(one.order_id, n, count) for n, count in enumerate(returns)])
        standing[one.order_id] = judged(one, version, pools)
        assert judged(one, version, pools) == standing[one.order_id]
        had: dict[tuple[str, str], int] = {}
        for judgement in standing.values():
            month = judgement.award.occurred_at.astimezone(ZONE).strftime("%Y-%m")
            had[BUDGET, month] = had.get((BUDGET, month), 0) + judgement.award.points
            for part in judgement.parts:
                if part.rule == "tea":
                    had["tea", month] = had.get(("tea", month), 0) + part.kept
        for key, points in pools.given.items():
            assert points == had.get(key, 0)
            assert points <= (budget if key[0] == BUDGET else limit)
        for grant in pools.changed.values():
            assert 0 <= grant.used <= grant.granted <= grant.asked
