"""No order earns more than one event may carry, whatever its programme asks for."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.earning.domain import fold
from services.loyalty.earning.pools import BUDGET, Pools
from shared.contracts.types import MAX_MINOR, MAX_POINTS
from tests.unit.loyalty.builders import ZONE, back, judged, order, programme, with_returns

LAVISH = {"award": 1_000_000, "per": {"amount": "0.01", "currency": "TWD"}, "base": "paid", "rounding": "floor"}
DOUBLES = {"id": "doubles", "order": 1, "on": "purchase", "effect": {"multiply": "2"}}
PIECES = {"id": "pieces", "order": 2, "on": "purchase", "effect": {"per_unit": 1_000_000}}


def test_what_the_programme_asks_for_beyond_it_is_trimmed_as_a_cap_trims_it_the_base_first() -> None:
    version = programme(points=LAVISH, rules=[DOUBLES, PIECES], tiers=[])
    [judgement] = judged([order("o-1", 6 * 10**8)], version)
    assert judgement.award.points == MAX_POINTS
    assert [(part.rule, part.wanted, part.awarded) for part in judgement.parts] == [
        ("base", 6 * 10**14, 6 * 10**14),
        ("doubles", 6 * 10**14, 4 * 10**14),
        ("pieces", 10**7, 0),
    ]


def test_what_is_just_as_much_is_left_alone() -> None:
    version = programme(points=LAVISH, rules=[], tiers=[])
    assert [one.award.points for one in judged([order("o-1", 10**9), order("o-2", 10**9 + 1, day=1)], version)] == [
        MAX_POINTS, MAX_POINTS,
    ]  # fmt: skip


def test_money_of_another_currency_comes_to_no_more_than_one_amount_may_be() -> None:
    version = programme(rules=[], tiers=[], rates={"USD": "999999999"})
    [judgement] = judged([msgspec.structs.replace(order("o-1", MAX_MINOR), currency="USD")], version)
    assert (judgement.award.net_minor, judgement.award.currency) == (MAX_MINOR, "TWD")


def test_pools_are_asked_for_no_more_than_an_order_may_have() -> None:
    shared = {**DOUBLES, "cap": {"points": 500, "per": "month", "scope": "programme"}}
    version = programme(points=LAVISH, rules=[shared], tiers=[], budget={"points": 700, "per": "month"})
    pools = Pools()
    fold([order("o-1", MAX_MINOR)], lambda _: (version, 1), ZONE, pools)
    assert {rule: (one.asked, one.granted) for (_, rule), one in pools.changed.items()} == {
        "doubles": (MAX_POINTS, 500), BUDGET: (MAX_POINTS, 700),
    }  # fmt: skip


@given(
    amounts=st.lists(st.integers(1, MAX_MINOR // 4), min_size=1, max_size=4),
    award=st.sampled_from([1, 1_000, 1_000_000]),
    pieces=st.lists(st.integers(0, 10), min_size=4, max_size=4),
)
def test_whatever_is_bought_and_given_back_the_award_is_within_it_and_a_full_return_takes_all(
    amounts: list[int], award: int, pieces: list[int]
) -> None:
    version = programme(points={**LAVISH, "award": award}, rules=[DOUBLES, PIECES], tiers=[])
    bought = order("o-1", *amounts)
    some = pieces[: len(amounts)]
    given_back = [back("o-1", 1, *some)] if any(some) else []
    [part] = judged([with_returns(bought, given_back)], version)
    [whole] = judged([with_returns(bought, [back("o-1", 1, *([10] * len(amounts)))])], version)
    assert 0 <= part.award.points + part.award.reversed <= MAX_POINTS
    assert all(0 <= one.kept <= one.awarded <= one.wanted for one in part.parts)
    assert whole.award.points == 0
