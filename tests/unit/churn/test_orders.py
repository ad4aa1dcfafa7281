from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.churn.scoring.orders import fact_of, fact_of_purchase
from services.churn.scoring.statistics import PurchaseFact, counts_as_purchase
from shared.contracts.orders import Order, read_order, with_returns
from shared.contracts.purchases import PurchaseRecorded, PurchaseReturned
from tests.kit.builders import NOW, line, money, purchase, returned


def order(**fields: Any) -> Order:
    data = msgspec.convert(purchase(order_id="o", **fields), PurchaseRecorded)
    return read_order(data, "/shop/tw", "e-1")


def fact(found: Order) -> PurchaseFact:
    return fact_of(found, "TWD")


def test_an_order_is_worth_what_was_kept_of_it() -> None:
    back = msgspec.convert(returned("o", amount=money("30")), PurchaseReturned)
    found = fact(with_returns(order(total="100"), [back]))
    assert (found.net_minor, found.returns, found.returned_minor) == (70_00, 1, 30_00)


def test_an_order_given_back_whole_is_no_purchase_in_any_currency() -> None:
    for currency in ("TWD", "EUR"):
        back = msgspec.convert(returned("o"), PurchaseReturned)
        assert not counts_as_purchase(fact(with_returns(order(currency=currency), [back])))


def test_another_currency_is_counted_and_not_summed() -> None:
    back = msgspec.convert(returned("o", amount=money("30", "EUR")), PurchaseReturned)
    found = fact(with_returns(order(currency="EUR"), [back]))
    assert counts_as_purchase(found)
    assert (found.net_minor, found.returned_minor) == (None, 0)


def test_a_gift_is_counted_and_not_summed() -> None:
    assert fact(order(total="0")).net_minor is None


def test_nothing_is_left_of_a_cancelled_order() -> None:
    back = msgspec.convert(returned("o", amount=money("30")), PurchaseReturned)
    cancelled = msgspec.structs.replace(with_returns(order(), [back]), cancelled_at=NOW)
    found = fact(cancelled)
    assert not counts_as_purchase(found)
    assert (found.returns, found.returned_minor) == (0, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"total": "100"}, {"total": "0"}, {"total": "0", "lines": []}, {"currency": "EUR"},
        {"total": "90", "lines": [line("1", amount="60"), line("2", amount="30", quantity="1.5")]},
    ],
)  # fmt: skip
def test_the_short_way_of_a_plain_purchase_gives_the_same_fact(fields: dict[str, Any]) -> None:
    data = msgspec.convert(purchase(order_id="o", **fields), PurchaseRecorded)
    short = fact_of_purchase(data, "/shop/tw", "e-1", "TWD")
    assert short == fact_of(read_order(data, "/shop/tw", "e-1"), "TWD")
