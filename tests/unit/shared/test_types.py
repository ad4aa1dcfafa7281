import json
from typing import Any

import msgspec
import pytest

from shared.contracts.behaviour import ActivityRecorded
from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.purchases import PurchaseRecorded, PurchaseReturned
from shared.contracts.schemas import FOLDER
from shared.contracts.types import CustomerId, Id, Instant, Money, Price, Quantity
from shared.messaging.envelope import read_event
from shared.messaging.events import InvalidEvent
from tests.kit import builders

ACCOUNTS = {"BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW", "XAU", "XDR", "XTS", "XXX"}


def _reads(value: Any, type: Any) -> bool:
    try:
        msgspec.json.decode(json.dumps(value), type=type)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    "amount",
    ["NaN", "Infinity", "-1", "+1", "1_000", "1,000", "１２", "1e400", "0x10", "12\n", " 12", "", ".5", "5."],
)
def test_money_takes_nothing_but_a_plain_decimal(amount: Any) -> None:
    assert not _reads({"amount": amount, "currency": "TWD"}, Money)


@pytest.mark.parametrize("amount", [12, 12.5, None, True, "1" * 16, "1.005"])
def test_money_that_is_no_text_too_long_or_too_fine_is_refused(amount: Any) -> None:
    assert not _reads({"amount": amount, "currency": "TWD"}, Money)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("0", "TWD", 0),
        ("120.5", "CNY", 12050),
        ("007", "JPY", 7),
        ("1.125", "KWD", 1125),
        ("9" * 15, "TWD", 99999999999999900),
    ],
)
def test_money_is_counted_in_minor_units(amount: str, currency: str, minor: int) -> None:
    assert (
        msgspec.json.decode(json.dumps({"amount": amount, "currency": currency}), type=Money).minor == minor
    )


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("1.5", "JPY"), ("1.0", "KRW"), ("1.125", "TWD"), ("1.1255", "KWD"), ("9" * 15, "KWD")],
)
def test_money_finer_than_its_currency_or_beyond_the_limit_is_refused(
    amount: str, currency: str
) -> None:
    assert not _reads({"amount": amount, "currency": currency}, Money)


@pytest.mark.parametrize("currency", ["XXX", "XAU", "twd", "TWD ", "TWD\n", "", "NT$", None, 901])
def test_an_unknown_currency_is_refused_in_money_and_in_prices(currency: Any) -> None:
    assert not _reads({"amount": "1", "currency": currency}, Money)
    assert not _reads({"amount": "1", "currency": currency}, Price)


def test_a_price_has_up_to_six_decimals_whatever_its_currency() -> None:
    assert _reads({"amount": "33.333333", "currency": "JPY"}, Price)
    assert not _reads({"amount": "33.3333333", "currency": "JPY"}, Price)


@pytest.mark.parametrize("quantity", [1, 1_000_000, "1", "0.001", "0.5", "12.345", "1000000", "1000000.000"])
def test_a_quantity_is_a_whole_number_or_has_up_to_three_places(quantity: Any) -> None:
    assert _reads(quantity, Quantity)


@pytest.mark.parametrize(
    "quantity",
    [0, -1, 1_000_001, "0", "0.000", "000", "-1", "1.2345", "1000000.001", "1000001", "9999999", "1e3", "5."],
)
def test_a_quantity_of_nothing_too_much_or_too_fine_is_refused(quantity: Any) -> None:
    assert not _reads(quantity, Quantity)


@pytest.mark.parametrize("quantity", [1.5, True, None, "NaN", "Infinity", "1_0", "１", "1\n", "0\n", ".5"])
def test_a_quantity_that_is_no_plain_decimal_is_refused(quantity: Any) -> None:
    assert not _reads(quantity, Quantity)


@pytest.mark.parametrize("customer_id", ["a", "pos:1001", "A.b_c:d~e-f", "x" * 64])
def test_a_customer_id_has_up_to_64_plain_characters(customer_id: str) -> None:
    assert _reads(customer_id, CustomerId)


@pytest.mark.parametrize(
    "customer_id", ["", "x" * 65, "a b", "a/b", "a@b", "é", "１", "a\n", "\na", "a\x00", 1001, None]
)
def test_any_other_customer_id_is_refused(customer_id: Any) -> None:
    assert not _reads(customer_id, CustomerId)


@pytest.mark.parametrize("id", ["a", "訂單 1", "a/b c", "x" * 128])
def test_an_id_has_up_to_128_printable_characters(id: str) -> None:
    assert _reads(id, Id)


@pytest.mark.parametrize("id", ["", "x" * 129, "a\n", "a\tb", "a\x00", "\x7f", "a\x85b", "a\u2028b", 7, None])
def test_any_other_id_is_refused(id: Any) -> None:
    assert not _reads(id, Id)


@pytest.mark.parametrize("instant", ["2026-11-20T08:15:00Z", "2026-11-20T16:15:00.123456+08:00"])
def test_an_instant_has_an_offset(instant: str) -> None:
    assert _reads(instant, Instant)


@pytest.mark.parametrize(
    "instant",
    ["2026-11-20T08:15:00", "2026-11-20", "2026-02-30T00:00:00Z", "2026-11-20T24:01:00Z", "now", "", 0, None],
)
def test_an_instant_without_offset_or_that_is_none_is_refused(instant: Any) -> None:
    assert not _reads(instant, Instant)


@pytest.mark.parametrize(
    ("count", "kept"),
    [(0, False), (1, True), (500, True), (501, False)],
    ids=["none", "one", "limit", "beyond"],
)
def test_an_order_has_up_to_500_lines_and_without_any_a_total_of_nothing(count: int, kept: bool) -> None:
    lines = [builders.line(str(number)) for number in range(count)]
    assert _reads(builders.purchase(lines=lines), PurchaseRecorded) is kept
    assert _reads(builders.purchase(total="0", lines=[]), PurchaseRecorded)


def test_a_line_id_stands_once_in_an_order_and_in_a_return() -> None:
    assert not _reads(builders.purchase(lines=[builders.line("1"), builders.line("1")]), PurchaseRecorded)
    twice = [{"line_id": "1", "quantity": 1}] * 2
    assert not _reads(builders.returned("o", lines=twice), PurchaseReturned)
    assert _reads(builders.returned("o", lines=twice[:1]), PurchaseReturned)


def test_lines_and_their_discounts_are_in_the_orders_currency() -> None:
    assert not _reads(builders.purchase(lines=[builders.line(currency="CNY")]), PurchaseRecorded)
    discounted = builders.line(discount=builders.money("1", "CNY"))
    assert not _reads(builders.purchase(lines=[discounted]), PurchaseRecorded)


def test_a_return_names_lines_or_an_amount_and_not_both() -> None:
    lines = [{"line_id": "1", "quantity": 1}]
    assert _reads(builders.returned("o", amount=builders.money("5")), PurchaseReturned)
    assert not _reads(builders.returned("o", amount=builders.money("5"), lines=lines), PurchaseReturned)
    assert not _reads(builders.returned("o", lines=[]), PurchaseReturned)


@pytest.mark.parametrize("version", [0, -1, 1_000_001, "1", 1.5])
def test_an_order_version_counts_from_one_to_a_million(version: Any) -> None:
    assert not _reads(builders.purchase(order_version=version), PurchaseRecorded)


@pytest.mark.parametrize(
    "attributes",
    [{"k": {"nested": 1}}, {"k": [1]}, {"k" * 65: 1}, {f"k{n}": n for n in range(51)}, ["k"]],
    ids=["object", "list", "long name", "too many", "not an object"],
)
def test_attributes_are_up_to_50_plain_values_under_short_names(attributes: Any) -> None:
    assert not _reads(builders.purchase(attributes=attributes), PurchaseRecorded)
    assert _reads(
        builders.purchase(attributes={"a": "x", "b": 1, "c": 1.5, "d": True, "e": None}), PurchaseRecorded
    )


@pytest.mark.parametrize(
    "fields",
    [{"lines": [builders.line(name="a\x00b")]}, {"attributes": {"k": "a\x00b"}}],
    ids=["name", "attributes"],
)
def test_the_null_character_is_refused_wherever_text_is_free(fields: dict[str, Any]) -> None:
    event = builders.cloud_event("purchase-recorded", builders.purchase(**fields))
    with pytest.raises(InvalidEvent) as refused:
        read_event(json.dumps(event).encode(), builders.NOW)
    assert refused.value.code == "nul-character"


def test_defaults_are_left_out_so_that_a_new_optional_field_leaves_old_hashes_alone() -> None:
    text = b'{"customer_id":"c","activity_id":"a","kind":"visit","occurred_at":"2026-11-20T08:15:00Z"}'
    full = json.dumps(json.loads(text) | {"sku": None, "attributes": {}, "unknown": 1})
    assert msgspec.json.encode(msgspec.json.decode(full, type=ActivityRecorded)) == text


def test_the_currency_table_is_iso_4217_and_not_the_use_of_cash() -> None:
    assert len(MINOR_UNITS) == 156
    assert not MINOR_UNITS.keys() & ACCOUNTS
    places = {"TWD": 2, "LAK": 2, "RSD": 2, "IQD": 3, "KWD": 3, "JPY": 0, "CLP": 0, "ISK": 0, "UGX": 0}
    assert places.items() <= MINOR_UNITS.items()


def test_the_published_schemas_list_the_same_currencies() -> None:
    schema = json.loads((FOLDER / "schemas" / "purchase-recorded.v1.json").read_text())
    assert schema["$defs"]["Currency"]["enum"] == sorted(MINOR_UNITS)
