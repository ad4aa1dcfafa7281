"""Orders in other currencies: converted by the rates of the version that judges them, and given back at the same."""

from datetime import timedelta
from fractions import Fraction
from itertools import pairwise, permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.loyalty.earning.basis import paid_net
from services.loyalty.earning.domain import by_line
from services.loyalty.earning.rounding import unrounded
from services.loyalty.programmes.bodies import EXAMPLE, ProgrammeBody, check_programme
from shared.contracts.orders import Order, OrderLine
from shared.contracts.purchases import PurchaseReturned
from shared.contracts.types import decimal_of
from shared.http.problems import ProblemError
from tests.unit.loyalty.builders import START, back, judged, points, programme, with_returns

RATES = {"USD": "31.5", "JPY": "0.213"}
DOUBLE: dict[str, Any] = {
    "id": "double", "order": 1, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"multiply": "1.7"},
}  # fmt: skip
PIECES: dict[str, Any] = {**DOUBLE, "id": "pieces", "effect": {"per_unit": 3}, "cap": {"points": 20, "per": "day"}}


def order(
    order_id: str, *amounts: int, currency: str = "USD", day: float = 0, quantity: int = 10, **fields: Any
) -> Order:
    lines = tuple(OrderLine(str(n), "sku", "tea", quantity * 1000, paid) for n, paid in enumerate(amounts, start=1))
    at = START + timedelta(days=day)
    return Order(order_id, "c-1", at, "/shop", order_id, "web", currency, sum(amounts), lines, **fields)


def amount(minor: int, number: int, currency: str) -> PurchaseReturned:
    fields = {
        "customer_id": "c-1", "order_id": "o", "return_id": f"o-a{number}", "occurred_at": START + timedelta(days=1),
        "amount": {"amount": decimal_of(minor, currency), "currency": currency},
    }  # fmt: skip
    return msgspec.convert(fields, PurchaseReturned)


def test_an_order_earns_by_its_amount_in_the_programmes_currency_at_the_versions_rate() -> None:
    version = programme(rules=[], rates=RATES)
    # 100.01 dollars are 3,150.315 of the programme's, which has two places; 9,999 yen, which have none, 2,129.787.
    [dollars] = judged([order("o", 100_01)], version)
    assert (dollars.award.points, dollars.award.currency, dollars.award.net_minor) == (315, "TWD", 3150_32)
    [yen] = judged([order("o", 9_999, currency="JPY")], version)
    assert (yen.award.points, yen.award.net_minor) == (212, 2129_79)
    assert unrounded(dollars.parts[0], order("o", 100_01), version) == Fraction(315_032, 1000)


def test_a_currency_without_a_rate_earns_nothing_and_counts_as_what_it_is() -> None:
    [euro] = judged([order("o", 100_00, currency="EUR")], programme(rules=[], rates=RATES))
    assert (euro.award.points, euro.award.currency, euro.award.net_minor) == (0, "EUR", 100_00)


def test_what_a_rule_asks_to_be_paid_is_in_the_programmes_currency() -> None:
    rule = {"id": "big", "order": 1, "on": "purchase", "when": {"paid_at_least": "315.00"}, "effect": {"bonus": 7}}
    version = programme(rules=[rule], rates=RATES)
    assert points([order("o", 10_00), order("p", 9_99, day=1)], version) == [31 + 7, 31]


def test_an_order_keeps_the_rate_that_judged_it_also_for_its_returns() -> None:
    first = programme(rules=[], rates={"USD": "30"})
    later = programme(version=2, rules=[], rates={"USD": "40"}, active_from=(START + timedelta(days=5)).isoformat())
    one = with_returns(order("o", 100_00), [back("o", 1, 5, day=9)])
    found = judged([one, order("p", 100_00, day=6)], first, later)
    assert [(each.award.points, each.award.net_minor) for each in found] == [(150, 1500_00), (400, 4000_00)]


def test_what_was_bought_in_a_currency_with_a_rate_counts_for_the_tier_that_the_next_order_is_judged_by() -> None:
    silver = {"name": "silver", "qualify": {"spend": "3150.00", "window_days": 90}, "multiply": "2"}
    version = programme(rules=[], tiers=[silver], rates=RATES)
    next_ = order("p", 100_00, currency="TWD", day=3)
    assert points([order("o", 100_00), next_], version) == [315, 20]
    assert points([order("o", 99_99), next_], version) == [314, 10]
    given_back = with_returns(order("o", 100_00), [back("o", 1, 1, day=2)])
    assert points([given_back, next_], version)[1] == 10
    given_back_later = with_returns(order("o", 100_00), [back("o", 1, 1, day=4)])
    assert points([given_back_later, next_], version)[1] == 20


@st.composite
def histories(draw: st.DrawFn) -> tuple[Order, list[PurchaseReturned]]:
    """An order, and returns of pieces and amounts that together give all of it back."""
    currency = draw(st.sampled_from(list(RATES)))
    quantity = draw(st.integers(1, 9))
    amounts = draw(st.lists(st.integers(0, 9_000), min_size=1, max_size=4))
    one = order("o", *amounts, currency=currency, quantity=quantity)
    returns: list[PurchaseReturned] = []
    for number in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            pieces = draw(st.lists(st.integers(0, 4), min_size=len(amounts), max_size=len(amounts)))
            if any(pieces):
                returns.append(back("o", number, *pieces, day=draw(st.integers(1, 3))))
        elif one.total:
            returns.append(amount(draw(st.integers(1, one.total)), number, currency))
    return one, [*returns, back("o", 99, *([9] * len(amounts)), day=9)]


@given(
    histories(), st.sampled_from(["0.000000001", "0.0137", "0.5", "1", "7.77", "31.5", "999999999.999999999"]),
    st.sampled_from(["floor", "half-up", "ceiling"]),
)  # fmt: skip
def test_returns_in_any_order_take_back_exactly_what_was_counted_and_earned(
    drawn: tuple[Order, list[PurchaseReturned]], rate: str, rounding: str
) -> None:
    one, returns = drawn
    base = {"award": 3, "per": {"amount": "7.00", "currency": "TWD"}, "base": "paid", "rounding": rounding}
    rates = dict.fromkeys(RATES, rate)
    version = programme(rules=[DOUBLE, PIECES, {**PIECES, "id": "uncapped"}], rates=rates, points=base)
    left = [judged([with_returns(one, returns[:n])], version)[0] for n in range(len(returns) + 1)]
    for before, after in pairwise(left):
        assert all(b.kept >= a.kept for b, a in zip(before.parts, after.parts, strict=True)), "a return never earns"
        assert before.award.net_minor >= after.award.net_minor
    assert left[0].award.net_minor == version.converted(one.total, one.currency)
    for count, judgement in enumerate(left):
        assert judgement.award.points + judgement.award.reversed == left[0].award.points
        stood = with_returns(one, returns[:count])
        assert sum(by_line(judgement, stood, version).values()) == judgement.award.points
    assert (left[-1].award.points, left[-1].award.net_minor) == (0, 0)


@given(st.lists(st.integers(0, 9_000), min_size=3, max_size=3), st.sampled_from(list(RATES)))
def test_whichever_line_comes_back_first_the_same_is_left(amounts: list[int], currency: str) -> None:
    one = order("o", *amounts, currency=currency)
    version = programme(rules=[DOUBLE], rates=RATES)
    parts = [[10, 0, 0], [0, 10, 0], [0, 0, 4], [0, 0, 6]]
    left = set()
    for row in permutations(parts[:3]):
        returns = [back("o", n, *pieces, day=n + 1) for n, pieces in enumerate(row)]
        stood = with_returns(one, returns)
        left.add((*paid_net(stood, version), *points([stood], version)))
    assert len(left) == 1


@pytest.mark.parametrize("rates", [
    {}, {"USD": "0"}, {"USD": "0.00"}, {"USD": "-1"}, {"USD": "1e3"}, {"USD": "1."}, {"USD": 31.5}, {"XXZ": "2"},
    {"USD": "1.1234567891"},
])  # fmt: skip
def test_a_rate_is_a_decimal_string_above_nothing_of_a_currency_that_there_is(rates: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProgrammeBody.model_validate({**EXAMPLE, "rates": rates})


def test_the_programmes_own_currency_has_no_rate() -> None:
    with pytest.raises(ProblemError) as refused:
        check_programme(ProgrammeBody.model_validate({**EXAMPLE, "rates": {"USD": "31.5", "TWD": "1"}}))
    assert [error.pointer for error in refused.value.errors] == ["/rates/TWD"]
