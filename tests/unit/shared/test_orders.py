import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.orders import Order, read_order, spread, thousandths, with_returns
from shared.contracts.purchases import PurchaseLine, PurchaseRecorded, PurchaseReturned, ReturnLine
from shared.contracts.types import Money, Price

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CURRENCIES = st.sampled_from(["TWD", "JPY", "KWD"])
PIECES = st.integers(1, 50) | st.integers(1, 50_000).map(lambda n: f"{n // 1000}.{n % 1000:03d}")


def _purchase(
    total: int, *lines: tuple[int | str, str], currency: str = "TWD", **fields: Any
) -> PurchaseRecorded:
    """Lines are (quantity, price); the total is in minor units."""
    return PurchaseRecorded(
        customer_id="pos:1",
        order_id="pos:o-1",
        occurred_at=NOON,
        channel="store",
        total=Money.of(total, currency),
        lines=tuple(
            PurchaseLine(
                line_id=str(number),
                sku="sku-1",
                quantity=quantity,
                unit_price=Price(amount=price, currency=currency),
            )
            for number, (quantity, price) in enumerate(lines)
        ),
        **fields,
    )


def _order(total: int, *lines: tuple[int | str, str], currency: str = "TWD") -> Order:
    return read_order(_purchase(total, *lines, currency=currency), "/shop", "e-1")


def _return(
    number: int, *lines: tuple[str, int | str], amount: Money | None = None, hours: int = 0
) -> PurchaseReturned:
    return PurchaseReturned(
        customer_id="pos:1",
        order_id="pos:o-1",
        return_id=f"r-{number:03d}",
        occurred_at=NOON + timedelta(hours=hours),
        lines=tuple(ReturnLine(line_id=line_id, quantity=quantity) for line_id, quantity in lines),
        amount=amount,
    )


@st.composite
def orders(draw: st.DrawFn) -> Order:
    currency = draw(CURRENCIES)
    prices = st.integers(0, 10**9).map(lambda n: f"{n // 10**6}.{n % 10**6:06d}")
    lines = draw(st.lists(st.tuples(PIECES, prices), min_size=1, max_size=6))
    return _order(draw(st.integers(0, 10**7)), *lines, currency=currency)


@st.composite
def returns_of(draw: st.DrawFn, order: Order) -> list[PurchaseReturned]:
    line_ids = st.sampled_from([line.line_id for line in order.lines] + ["no-such-line"])
    parts = st.dictionaries(line_ids, PIECES, min_size=1, max_size=4).map(lambda lines: tuple(lines.items()))
    amounts = st.integers(0, 10**7).map(lambda minor: Money.of(minor, order.currency))
    found = []
    for number in range(draw(st.integers(1, 6))):
        hours = draw(st.integers(0, 3))
        if draw(st.booleans()):
            found.append(_return(number, *draw(parts), hours=hours))
        else:
            found.append(_return(number, amount=draw(amounts), hours=hours))
    return found


@given(total=st.integers(0, 10**12), weights=st.lists(st.integers(0, 10**15), min_size=1, max_size=40))
def test_a_spread_sums_to_its_total_and_gives_each_within_one_unit_of_its_part(
    total: int, weights: list[int]
) -> None:
    shares = spread(total, weights)
    assert sum(shares) == total
    whole = sum(weights)
    fair = weights if whole else [1] * len(weights)
    for share, weight in zip(shares, fair, strict=True):
        assert abs(share * sum(fair) - total * weight) < sum(fair)


@given(total=st.integers(0, 10**6), count=st.integers(1, 40))
def test_shares_are_equal_where_the_weights_sum_to_nothing(total: int, count: int) -> None:
    shares = spread(total, [0] * count)
    assert max(shares) - min(shares) <= 1
    assert shares == sorted(shares, reverse=True)


def test_the_units_left_go_to_the_largest_remainders_and_then_to_the_earlier() -> None:
    assert spread(10, [1, 1, 1]) == [4, 3, 3]
    assert spread(10, [1, 2, 4]) == [1, 3, 6]
    assert spread(0, [3, 4]) == [0, 0]
    assert spread(5, []) == []


@given(order=orders())
def test_what_was_paid_for_the_lines_sums_to_the_total(order: Order) -> None:
    assert sum(line.paid for line in order.lines) == order.total


def test_a_line_weighs_quantity_times_price_less_its_discount() -> None:
    line = PurchaseLine(
        line_id="a",
        sku="s",
        quantity="1.500",
        unit_price=Price(amount="20.000001", currency="TWD"),
        discount=Money(amount="10.00", currency="TWD"),
    )
    other = PurchaseLine(line_id="b", sku="s", quantity=2, unit_price=Price(amount="10", currency="TWD"))
    purchase = msgspec.structs.replace(_purchase(4_000, (1, "1")), lines=(line, other))
    assert [line.paid for line in read_order(purchase, "/shop", "e").lines] == [2_000, 2_000]


def test_a_discount_above_the_price_weighs_nothing_rather_than_less() -> None:
    free = PurchaseLine(
        line_id="a",
        sku="s",
        quantity=1,
        unit_price=Price(amount="5", currency="TWD"),
        discount=Money(amount="9.00", currency="TWD"),
    )
    paid = PurchaseLine(line_id="b", sku="s", quantity=1, unit_price=Price(amount="5", currency="TWD"))
    purchase = msgspec.structs.replace(_purchase(500, (1, "1")), lines=(free, paid))
    assert [line.paid for line in read_order(purchase, "/shop", "e").lines] == [0, 500]


def test_an_order_carries_the_facts_of_its_purchase() -> None:
    order = read_order(_purchase(900, (3, "3"), order_version=4), "/shop", "e-9", backfill=True)
    assert (order.order_id, order.customer_id, order.version, order.backfill) == ("pos:o-1", "pos:1", 4, True)
    assert order.sort_key == (NOON, "/shop", "e-9")
    assert (order.total, order.net, order.currency) == (900, 900, "TWD")


@given(order=orders(), data=st.data())
def test_a_line_returned_in_parts_gives_back_exactly_what_was_paid(order: Order, data: st.DataObject) -> None:
    line = data.draw(st.sampled_from(order.lines))
    parts: list[PurchaseReturned] = []
    left = line.quantity
    while left:
        back = data.draw(st.integers(max(1, left // 4), left))
        parts.append(_return(len(parts), (line.line_id, f"{back // 1000}.{back % 1000:03d}")))
        left -= back
    after = with_returns(order, parts)
    assert sum(refund.minor for refund in after.refunds) == line.paid
    assert after.net == order.total - line.paid


@given(order=orders())
def test_an_order_returned_whole_by_lines_or_by_amount_is_worth_nothing(order: Order) -> None:
    parts = [
        _return(number, (line.line_id, f"{line.quantity // 1000}.{line.quantity % 1000:03d}"))
        for number, line in enumerate(order.lines)
    ]
    by_lines = with_returns(order, parts)
    assert (by_lines.net, by_lines.counts) == (0, False)
    by_amount = with_returns(order, [_return(1, amount=Money.of(order.total, order.currency))])
    assert by_amount.net == 0
    assert by_amount.counts is (order.total == 0)


@given(data=st.data())
def test_returns_give_the_same_in_whatever_order_they_arrive(data: st.DataObject) -> None:
    order = data.draw(orders())
    returns = data.draw(returns_of(order))
    shuffled = list(returns)
    random.Random(data.draw(st.integers(0, 999))).shuffle(shuffled)
    assert with_returns(order, shuffled) == with_returns(order, returns)


@given(data=st.data())
def test_no_line_gives_back_more_than_was_paid_or_bought(data: st.DataObject) -> None:
    order = data.draw(orders())
    after = with_returns(order, data.draw(returns_of(order)))
    assert after.net >= 0
    for line in after.lines:
        assert 0 <= line.returned <= line.paid
        assert 0 <= line.returned_quantity <= line.quantity
        given_back = [
            amount for refund in after.refunds for name, amount in refund.by_line if name == line.line_id
        ]
        assert min(given_back, default=0) >= 0
        assert sum(given_back) == line.returned


@given(data=st.data())
def test_a_later_return_changes_nothing_of_what_earlier_ones_gave(data: st.DataObject) -> None:
    order = data.draw(orders())
    returns = data.draw(returns_of(order))
    before = with_returns(order, returns)
    after = with_returns(order, [*returns, _return(999, (order.lines[0].line_id, 1), hours=99)])
    assert after.refunds[: len(returns)] == before.refunds


def test_pieces_that_do_not_divide_come_back_in_amounts_that_sum_to_the_whole() -> None:
    after = with_returns(_order(1000, (3, "1")), [_return(n, ("0", 1), hours=n) for n in range(3)])
    assert [refund.minor for refund in after.refunds] == [333, 334, 333]


def test_what_is_returned_beyond_what_was_bought_is_cut_from_the_later_return() -> None:
    late, early = _return(1, ("0", 2), hours=2), _return(2, ("0", 2), hours=1)
    after = with_returns(_order(900, (3, "3")), [late, early])
    assert [(refund.return_id, refund.minor) for refund in after.refunds] == [("r-002", 600), ("r-001", 300)]
    assert after.lines[0].returned_quantity == 3000


def test_of_returns_at_the_same_instant_the_lower_id_comes_first() -> None:
    after = with_returns(_order(900, (3, "3")), [_return(2, ("0", 2)), _return(1, ("0", 2))])
    assert [(refund.return_id, refund.minor) for refund in after.refunds] == [("r-001", 600), ("r-002", 300)]


def test_a_return_of_an_unknown_line_gives_nothing_back() -> None:
    after = with_returns(_order(900, (3, "3")), [_return(1, ("9", 1))])
    assert (after.net, [refund.by_line for refund in after.refunds]) == (900, [()])


def test_an_amount_is_spread_over_what_is_left_of_the_lines_and_cut_at_the_total() -> None:
    order = _order(1000, (1, "2"), (1, "8"))
    after = with_returns(order, [_return(1, amount=Money.of(500, "TWD"))])
    assert after.refunds[0].by_line == (("0", 100), ("1", 400))
    assert (after.net, after.counts) == (500, True)
    assert with_returns(order, [_return(1, amount=Money.of(5000, "TWD"))]).net == 0


def test_pieces_given_back_after_an_amount_are_worth_only_what_the_amount_left() -> None:
    returns = [
        _return(1, amount=Money.of(600, "TWD")),
        _return(2, ("0", 1), hours=1),
        _return(3, ("0", 1), hours=2),
    ]
    after = with_returns(_order(1000, (2, "5")), returns)
    assert [refund.minor for refund in after.refunds] == [600, 0, 400]


def test_an_amount_in_another_currency_gives_nothing_back() -> None:
    after = with_returns(_order(900, (3, "3")), [_return(1, amount=Money.of(900, "JPY"))])
    assert (after.net, after.counts) == (900, True)


def test_a_currency_without_decimals_and_one_with_three_are_split_in_their_own_units() -> None:
    assert [line.paid for line in _order(100, (1, "1"), (1, "1"), (1, "1"), currency="JPY").lines] == [
        34,
        33,
        33,
    ]
    order = read_order(_purchase(1_000, (1, "1"), (1, "2"), currency="KWD"), "/shop", "e")
    assert (order.total, [line.paid for line in order.lines]) == (1_000, [333, 667])
    assert Money.of(1_000, "KWD").amount == "1.000"


def test_a_cancelled_or_emptied_order_does_not_count_and_a_free_one_does() -> None:
    cancelled = msgspec.structs.replace(_order(900, (3, "3")), cancelled_at=NOON)
    assert (cancelled.net, cancelled.counts) == (0, False)
    assert _order(0).counts is False
    assert _order(0, (1, "0")).counts is True
    assert with_returns(_order(0, (1, "0")), [_return(1, ("0", 1))]).counts is False


def test_quantities_are_read_in_thousandths() -> None:
    assert [thousandths(2), thousandths("2"), thousandths("0.5"), thousandths("1.125")] == [
        2000,
        2000,
        500,
        1125,
    ]


@given(minor=st.integers(0, 10**15 - 1), currency=st.sampled_from(sorted(MINOR_UNITS)))
def test_money_of_minor_units_reads_back_as_the_same(minor: int, currency: str) -> None:
    money = Money.of(minor, currency)
    assert money.minor == minor
    assert msgspec.json.decode(msgspec.json.encode(money), type=Money) == money
