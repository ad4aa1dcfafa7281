"""What an order earns on: which of its money, rounded how, by piece; and that returns unwind on the same."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.earning.domain import by_line
from shared.contracts.orders import Order, read_order
from shared.contracts.purchases import PurchaseRecorded, PurchaseReturned
from tests.kit.builders import line, money, purchase
from tests.unit.loyalty.builders import START, back, judged, order, points, programme, with_returns

BASES = [
    "paid", "paid-without-tax", "paid-without-shipping", "paid-without-tax-and-shipping", "before-discount",
    "before-discount-without-tax", "before-discount-without-shipping", "before-discount-without-tax-and-shipping",
]  # fmt: skip
PER_PIECE = {"id": "pieces", "order": 1, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"per_unit": 3}}
DOUBLE = {"id": "double", "order": 2, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"multiply": "1.7"}}


def base(name: str = "paid", rounding: str = "floor", award: int = 1) -> dict[str, Any]:
    per = {"amount": "10.00", "currency": "TWD"}
    return {"points": {"award": award, "per": per, "base": name, "rounding": rounding}}


def bought(**fields: Any) -> Order:
    data = {**purchase("c-1", "o"), "occurred_at": START.isoformat(), **fields}
    return read_order(msgspec.convert(data, PurchaseRecorded), "/shop", "e")


@pytest.mark.parametrize(("name", "earned"), list(zip(BASES, [100, 95, 92, 87, 120, 115, 112, 107], strict=True)))
def test_the_base_is_what_was_paid_or_that_before_discounts_with_or_without_tax_and_shipping(
    name: str, earned: int
) -> None:
    lines = [line("1", amount="700", discount=money("150")), line("2", amount="420", discount=money("50"))]
    one = bought(total=money("1000"), tax=money("50"), shipping=money("80"), lines=lines)
    assert points([one], programme(rules=[], **base(name))) == [earned]


def test_tax_in_another_currency_than_the_order_takes_nothing_off() -> None:
    one = bought(total=money("1000"), tax=money("50", "CNY"))
    assert points([one], programme(rules=[], **base("paid-without-tax"))) == [100]


def test_more_tax_and_shipping_than_was_paid_leave_nothing_to_earn_on() -> None:
    one = bought(total=money("100"), tax=money("50"), shipping=money("80"))
    assert points([one], programme(rules=[], **base("paid-without-tax-and-shipping"))) == [0]


def test_a_return_takes_its_share_of_the_base_that_earned() -> None:
    lines = [line("1", amount="600", quantity=2, discount=money("200")), line("2", amount="100")]
    one = bought(total=money("1100"), tax=money("100"), lines=lines)
    version = programme(rules=[], **base("before-discount-without-tax"))
    # 1,200 earn: of the first line, worth 1,000 of 1,100, twelve thirteenths.
    assert points([one], version) == [120]
    assert points([with_returns(one, [back("o", 1, 1)])], version) == [64]
    assert points([with_returns(one, [back("o", 1, 2)])], version) == [9]
    assert points([with_returns(one, [back("o", 1, 2, 1)])], version) == [0]


def test_points_of_the_base_of_a_rule_and_of_a_piece_are_each_rounded_as_the_version_says() -> None:
    one = order("o", 10_650, category="tea")
    half_a_piece = msgspec.structs.replace(one.lines[0], quantity=1_500)
    one = msgspec.structs.replace(one, lines=(half_a_piece,))
    rules = [PER_PIECE, DOUBLE]
    found = {
        rounding: [part.awarded for part in judged([one], programme(rules=rules, **base("paid", rounding)))[0].parts]
        for rounding in ("floor", "half-up", "ceiling")
    }
    # 10.65 of the base; 4.5 by the piece; 7.455 beside the base.
    assert found == {"floor": [10, 4, 7], "half-up": [11, 5, 7], "ceiling": [11, 5, 8]}


def test_a_rule_by_the_piece_counts_the_pieces_of_its_lines_and_gives_back_those_that_return() -> None:
    version = programme(rules=[PER_PIECE])
    lines = [line("1", amount="10", quantity=5, category="tea"), line("2", amount="10", quantity=7, category="cups")]
    one = bought(total=money("120"), lines=lines)
    assert points([one], version) == [12 + 15]
    assert points([with_returns(one, [back("o", 1, 2)])], version) == [10 + 9]
    assert points([with_returns(one, [back("o", 1, 0, 7)])], version) == [5 + 15]
    whole = with_returns(one, [_amount(120, 1)])
    assert points([whole], version) == [0]
    # Half the money of all lines: of five pieces two and a half stand.
    assert points([with_returns(one, [_amount(60, 1)])], version) == [6 + 7]


def _amount(minor: int, number: int) -> PurchaseReturned:
    fields = {
        "customer_id": "c-1", "order_id": "o", "return_id": f"o-a{number}", "occurred_at": START,
        "amount": money(str(minor)),
    }  # fmt: skip
    return msgspec.convert(fields, PurchaseReturned)


def orders(draw: st.DrawFn) -> Order:
    count = draw(st.integers(1, 4))
    lines = [
        line(
            str(n), amount=str(draw(st.integers(0, 900))), quantity=draw(st.integers(1, 9)),
            discount=money(str(draw(st.integers(0, 300)))), category=draw(st.sampled_from(["tea", "cups"])),
        )
        for n in range(1, count + 1)
    ]  # fmt: skip
    total = draw(st.integers(0, 5_000))
    parts = {name: money(str(draw(st.integers(0, total // 2)))) for name in ("tax", "shipping")}
    return bought(total=money(str(total)), lines=lines, **parts)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Order, list[PurchaseReturned]]:
    """An order, and returns of pieces and amounts that together give all of it back."""
    one = orders(draw)
    returns: list[PurchaseReturned] = []
    for number in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            pieces = draw(st.lists(st.integers(0, 4), min_size=len(one.lines), max_size=len(one.lines)))
            if any(pieces):
                returns.append(back("o", number, *pieces))
        elif one.total:
            returns.append(_amount(draw(st.integers(1, one.total // 100)), number))
    return one, [*returns, back("o", 99, *([9] * len(one.lines)), day=9)]


@given(histories(), st.sampled_from(BASES), st.sampled_from(["floor", "half-up", "ceiling"]), st.integers(1, 30))
def test_returns_in_any_order_take_back_on_any_base_exactly_what_the_order_earned(
    drawn: tuple[Order, list[PurchaseReturned]], name: str, rounding: str, award: int
) -> None:
    one, returns = drawn
    rules = [{**PER_PIECE, "cap": {"points": 20, "per": "day"}}, DOUBLE, {**PER_PIECE, "id": "uncapped"}]
    version = programme(rules=rules, **base(name, rounding, award))
    left = [judged([with_returns(one, returns[:n])], version)[0] for n in range(len(returns) + 1)]
    for before, after in pairwise(left):
        assert all(b.kept >= a.kept for b, a in zip(before.parts, after.parts, strict=True)), "a return never earns"
    for judgement in left:
        assert judgement.award.points + judgement.award.reversed == left[0].award.points
    assert left[-1].award.points == 0


@given(histories(), st.sampled_from(BASES), st.integers(0, 6))
def test_the_points_of_the_lines_sum_to_those_of_the_order(
    drawn: tuple[Order, list[PurchaseReturned]], name: str, count: int
) -> None:
    one, returns = drawn
    welcome = {"id": "first", "order": 3, "on": "first-purchase", "effect": {"bonus": 100}}
    version = programme(rules=[PER_PIECE, DOUBLE, welcome], **base(name))
    stood = with_returns(one, returns[:count])
    judgement = judged([stood], version)[0]
    spread = by_line(judgement, stood, version)
    assert spread.keys() == {line.line_id for line in one.lines}
    assert sum(spread.values()) == judgement.award.points
    assert min(spread.values()) >= 0


def test_each_part_is_spread_over_the_lines_that_it_is_about_by_largest_remainder() -> None:
    lines = [line("1", amount="10", quantity=5, category="tea"), line("2", amount="45", category="cups")]
    one = bought(total=money("95"), lines=lines)
    version = programme(rules=[PER_PIECE])
    # 9 of the base: 4.74 and 4.26; 15 of the rule for the tea alone.
    assert by_line(judged([one], version)[0], one, version) == {"1": 5 + 15, "2": 4}
