"""Where a customer was when, by all that was said of it, and the rules that ask for it."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.earning.domain import fold
from services.loyalty.programmes.bodies import EXAMPLE, ProgrammeBody, check_programme
from services.loyalty.programmes.domain import segments_of
from services.loyalty.programmes.stored import read_programme
from services.loyalty.segments.domain import NOWHERE, Change, Membership, place_of
from shared.contracts.orders import Order
from shared.http.problems import ProblemError
from tests.unit.loyalty.builders import START, ZONE, order, programme

RULE: dict[str, Any] = {
    "id": "regulars", "order": 1, "on": "purchase", "when": {"segment": ["regulars", "lifecycle:dormant"]},
    "effect": {"bonus": 7},
}  # fmt: skip


def said(sequence: int, day: float, within: str) -> Change:
    return sequence, START + timedelta(days=day), within


def is_in(membership: Membership, day: float, name: str = "regulars") -> bool:
    return membership.is_in_any([place_of(name)], START + timedelta(days=day))


def test_he_is_where_the_last_word_of_the_time_before_put_him() -> None:
    his = Membership({"regulars": [said(1, 1, "in"), said(2, 5, "out")], "lifecycle": [said(3, 2, "dormant")]})
    assert [is_in(his, day) for day in (0, 1, 1.5, 5, 6)] == [False, False, True, True, False]
    assert [is_in(his, day, "lifecycle:dormant") for day in (1, 3, 9)] == [False, True, True]
    assert not is_in(his, 3, "lifecycle:active")
    assert not is_in(NOWHERE, 3)


def test_a_correction_stands_from_the_instant_that_it_is_about() -> None:
    his = Membership({"regulars": [said(1, 1, "in"), said(2, 9, "out"), said(3, 5, "out"), said(4, 7, "in")]})
    assert [is_in(his, day) for day in (4, 6, 8, 10)] == [True, False, True, True]


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["in", "out"])), max_size=5))
def test_in_whatever_order_it_was_heard_of(told: list[tuple[int, str]]) -> None:
    changes = [said(number, day, within) for number, (day, within) in enumerate(told, start=1)]
    days = [day / 2 for day in range(13)]
    straight = [is_in(Membership({"regulars": changes}), day) for day in days]
    for row in permutations(changes):
        assert [is_in(Membership({"regulars": row}), day) for day in days] == straight


def test_a_rule_is_about_orders_of_those_who_were_in_one_of_its_segments_when_they_were_placed() -> None:
    version = programme(rules=[RULE])
    his = Membership({"regulars": [said(1, 1, "in"), said(2, 3, "out")]})
    orders: list[Order] = [order(f"o-{day}", day=day) for day in (0, 1, 2, 3, 4)]
    earned = [one.award.points for one in fold(orders, lambda _: (version, 1), ZONE, membership=his)[1]]
    # What a purchase itself leads to, at its own instant, is after it.
    assert earned == [10, 10, 17, 17, 10]
    assert [one.award.points for one in fold(orders, lambda _: (version, 1), ZONE)[1]] == [10] * 5


def test_what_is_posted_is_what_judges() -> None:
    body = ProgrammeBody.model_validate({**EXAMPLE, "rules": [RULE]})
    check_programme(body)
    version = read_programme(2, START, msgspec.json.encode(body.document()))
    assert version.rules[0].when.segments == {("regulars", "in"), ("lifecycle", "dormant")}
    assert segments_of([version]) == {"regulars", "lifecycle"}
    assert segments_of([programme()]) == set()


def test_an_occasion_has_no_segment() -> None:
    rule = {**RULE, "on": "birthday"}
    with pytest.raises(ProblemError) as refused:
        check_programme(ProgrammeBody.model_validate({**EXAMPLE, "rules": [rule]}))
    assert [error.pointer for error in refused.value.errors] == ["/rules/0/when"]
