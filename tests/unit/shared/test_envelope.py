"""What is an event of ours, in either mode, and what each kind of bad input is called and where it points."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.purchases import PurchaseRecorded
from shared.contracts.topics import TOPICS
from shared.messaging.envelope import MAX_BYTES, read_record, write_event
from shared.messaging.events import Event, InvalidEvent
from tests.kit.builders import NOW, SOURCE, cloud_event, line, money, purchase, record

TOPIC = "purchase-recorded"
KEY = b"pos:1"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
Headers = list[tuple[str, bytes | None]]
Event_ = dict[str, Any]


def read(value: bytes | None, *, key: bytes | None = KEY, headers: Headers | None = None, topic: str = TOPIC) -> Event:
    return read_record(topic, key, value, headers or [], NOW)


def refusal(value: bytes | None, **options: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        read(value, **options)
    return caught.value


def sent(**changes: Any) -> bytes:
    """A purchase whose data is changed so; a field set to ... is left out."""
    data = {name: value for name, value in {**purchase(), **changes}.items() if value is not ...}
    return json.dumps(cloud_event(TOPIC, data, id="e-1", time=NOW.isoformat())).encode()


def enveloped(**changes: Any) -> bytes:
    """A purchase whose envelope is changed so."""
    event = {**cloud_event(TOPIC, purchase(), id="e-1"), **changes}
    return json.dumps({name: value for name, value in event.items() if value is not ...}).encode()


def binary(**changes: bytes | None) -> Headers:
    """The headers of the binary mode."""
    attributes: dict[str, bytes | None] = {
        "ce_specversion": b"1.0", "ce_id": b"e-1", "ce_source": SOURCE.encode(), "ce_type": b"purchase-recorded.v1",
        "ce_time": b"2026-11-20T03:00:00Z", "content-type": b"application/json", **changes,
    }  # fmt: skip
    return [(name, content) for name, content in attributes.items() if content is not None]


def test_a_structured_event_is_read_whole() -> None:
    event = read(enveloped(backfill=True), headers=[("traceparent", TRACE.encode())])
    assert isinstance(event.data, PurchaseRecorded)
    assert (event.source, event.id, event.key, event.backfill) == (SOURCE, "e-1", "pos:1", True)
    assert event.traceparent == TRACE
    assert event.topic is TOPICS[TOPIC]


def test_the_binary_mode_says_the_same() -> None:
    data = purchase(order_id="o-1")
    structured = read(json.dumps(cloud_event(TOPIC, data, id="e-1")).encode())
    headers = [*binary(ce_backfill=b"true"), ("traceparent", TRACE.encode())]
    in_headers = read(json.dumps(data).encode(), headers=headers)
    assert (in_headers.data, in_headers.digest) == (structured.data, structured.digest)
    assert (in_headers.backfill, in_headers.traceparent) == (True, TRACE)


def test_the_content_type_decides_where_both_modes_are_named() -> None:
    headers = binary(**{"content-type": b"application/cloudevents+json; charset=utf-8", "ce_id": b"other"})
    assert read(sent(), headers=headers).id == "e-1"


def test_header_names_are_read_in_any_case() -> None:
    headers: Headers = [(name.upper(), content) for name, content in binary()]
    assert read(json.dumps(purchase()).encode(), headers=headers).id == "e-1"


def test_unknown_fields_and_attributes_are_ignored() -> None:
    assert read(sent(colour="red")).digest != b""
    assert read(enveloped(partitionkey="x", dataschema=None)).id == "e-1"


def test_the_same_content_in_another_order_of_keys_is_the_same() -> None:
    one = purchase(order_id="o-1", attributes={"a": 1, "b": "x"})
    other = dict(reversed({**one, "attributes": {"b": "x", "a": 1}}.items()))
    assert read(json.dumps(cloud_event(TOPIC, one)).encode()).digest == read(
        json.dumps(cloud_event(TOPIC, other)).encode()
    ).digest


def test_what_we_write_we_read() -> None:
    data = read(sent()).data
    event = read(write_event(data, source="/roost/loyalty", id="pos:1:7", time=NOW, backfill=True))
    assert (event.data, event.source, event.id, event.time, event.backfill) == (
        data, "/roost/loyalty", "pos:1:7", NOW, True,
    )  # fmt: skip


@pytest.mark.parametrize("trace", [b"00-junk", b"\xff\xfe", b"\x00", TRACE.upper().encode()])
def test_a_broken_traceparent_is_no_traceparent(trace: bytes) -> None:
    assert read(sent(), headers=[("traceparent", trace)]).traceparent is None


def test_headers_without_content_are_not_there() -> None:
    assert read(sent(), headers=[("ce_specversion", None), ("traceparent", None)]).traceparent is None


two_days_ahead = (NOW + timedelta(days=2)).isoformat()
LINES = [line(str(n), amount="0") for n in range(501)]

BAD: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "invalid-json", ""),
    "not JSON": (b"not JSON", "invalid-json", ""),
    "cut off": (sent()[:-2], "invalid-json", ""),
    "two values": (sent() + b"{}", "invalid-json", ""),
    "a byte order mark": (b"\xef\xbb\xbf" + sent(), "invalid-json", ""),
    "not UTF-8": (sent(store="STORE").replace(b"STORE", b"\xff\xfe"), "invalid-json", "/data"),
    "a lone surrogate": (sent(store="\ud800"), "invalid-json", ""),
    "a lone surrogate in UTF-8": (sent(store="STORE").replace(b"STORE", b"\xed\xa0\x80"), "invalid-json", "/data"),
    "NaN, bare": (sent(attributes={"x": "NAN"}).replace(b'"NAN"', b"NaN"), "invalid-json", ""),
    "a list": (b"[]", "contract", ""),
    "nothing": (b"null", "contract", ""),
    "no id": (enveloped(id=...), "contract", "/id"),
    "an empty id": (enveloped(id=""), "contract", "/id"),
    "an id of 129 characters": (enveloped(id="x" * 129), "contract", "/id"),
    "an id with a newline": (enveloped(id="x\n"), "contract", "/id"),
    "no source": (enveloped(source=...), "contract", "/source"),
    "another specversion": (enveloped(specversion="0.3"), "contract", "/specversion"),
    "no type": (enveloped(type=...), "contract", "/type"),
    "an unknown type": (enveloped(type="purchase-recorded.v9"), "unknown-type", "/type"),
    "no data": (enveloped(data=...), "contract", "/data"),
    "a time without offset": (enveloped(time="2026-11-20T03:00:00"), "contract", "/time"),
    "a time 2 days ahead": (enveloped(time=two_days_ahead), "in-the-future", "/time"),
    "backfill: maybe": (enveloped(backfill="maybe"), "contract", "/backfill"),
    "no total": (sent(total=...), "contract", "/data/total"),
    "no amount": (sent(total={"currency": "TWD"}), "contract", "/data/total/amount"),
    "another channel": (sent(channel="pigeon"), "contract", "/data/channel"),
    "an id that is a number": (sent(order_id=7), "contract", "/data/order_id"),
    "a customer id with a space": (sent(customer_id="pos 1"), "contract", "/data/customer_id"),
    "money that is a number": (sent(total={"amount": 1, "currency": "TWD"}), "contract", "/data/total/amount"),
    "NaN": (sent(total=money("NaN")), "contract", "/data/total/amount"),
    "Infinity": (sent(total=money("Infinity")), "contract", "/data/total/amount"),
    "an exponent": (sent(total=money("1e400")), "contract", "/data/total/amount"),
    "negative money": (sent(total=money("-1")), "contract", "/data/total/amount"),
    "full-width digits": (sent(total=money("１００")), "contract", "/data/total/amount"),
    "a third decimal": (sent(total=money("1.001")), "contract", "/data/total"),
    "an unknown currency": (sent(total=money("1", "XXX")), "contract", "/data/total"),
    "a line in another currency": (sent(lines=[line(currency="USD")]), "contract", "/data"),
    "a quantity of 0": (sent(lines=[line(quantity=0)]), "contract", "/data/lines/0/quantity"),
    "a wrong price in the second line": (
        sent(lines=[line("1"), line("2", amount="x")]), "contract", "/data/lines/1/unit_price/amount",
    ),
    "a line twice": (sent(lines=[line("1"), line("1")]), "contract", "/data"),
    "501 lines": (sent(lines=LINES, total=money("0")), "contract", "/data/lines"),
    "a huge integer": (sent(order_version=10**30), "contract", "/data/order_version"),
    "5,000 digits": (
        sent(attributes={"x": "HUGE"}).replace(b'"HUGE"', b"9" * 5_000), "contract", "/data/attributes",
    ),
    "a float beyond floats": (
        sent(attributes={"x": "HUGE"}).replace(b'"HUGE"', b"1e400"), "contract", "/data/attributes",
    ),
    "an attribute's name of 65": (sent(attributes={"x" * 65: 1}), "contract", "/data/attributes"),
    "a nested attribute": (sent(attributes={"x": {}}), "contract", "/data/attributes"),
    "occurred without offset": (sent(occurred_at="2026-11-20T03:00:00"), "contract", "/data/occurred_at"),
    "occurred 2 days ahead": (sent(occurred_at=two_days_ahead), "in-the-future", "/data/occurred_at"),
    "occurred in year 1": (sent(occurred_at="0001-01-01T00:00:00+14:00"), "too-early", "/data/occurred_at"),
    "NUL": (sent(store="a\x00b"), "nul-character", ""),
    "NUL, bare": (sent(store="STORE").replace(b"STORE", b"\x00"), "nul-character", ""),
    "300 KiB": (sent(attributes={"x": "y" * 300 * 1024}), "too-large", ""),
    "100,000 levels": (b"[" * 100_000, "contract", ""),
    "100,000 levels in the envelope": (
        enveloped(deep="DEEP").replace(b'"DEEP"', b"[" * 100_000 + b"]" * 100_000), "too-deep", "",
    ),
    "100,000 levels in data": (
        sent(deep="DEEP").replace(b'"DEEP"', b"[" * 100_000 + b"]" * 100_000), "too-deep", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("value", "code", "pointer"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_with_a_code_and_a_pointer(value: bytes, code: str, pointer: str) -> None:
    error = refusal(value)
    assert (error.code, error.pointer) == (code, pointer)
    assert error.detail


def test_an_event_of_exactly_the_largest_size_is_read() -> None:
    room = MAX_BYTES - len(sent(attributes={"x": ""}))
    assert read(sent(attributes={"x": "y" * room})).key == "pos:1"
    assert refusal(sent(attributes={"x": "y" * (room + 1)})).code == "too-large"


def test_a_record_needs_a_value() -> None:
    assert refusal(None).code == "null-value"


@pytest.mark.parametrize("key", [None, b"", b"pos:2", b"\xff", b"pos:1\x00"])
def test_the_key_is_the_customer(key: bytes | None) -> None:
    error = refusal(sent(), key=key)
    assert (error.code, error.pointer, error.source) == ("key-mismatch", "/data/customer_id", SOURCE)


def test_an_event_belongs_on_its_own_topic() -> None:
    error = refusal(sent(), topic="purchase-returned")
    assert (error.code, error.pointer) == ("wrong-topic", "/type")


@pytest.mark.parametrize(
    ("headers", "pointer"),
    [
        (binary(ce_id=None), "/id"),
        (binary(ce_id=b"\xff\xfe"), "/id"),
        (binary(ce_id=b"a\x00"), "/id"),
        (binary(ce_source=b"\x00\x00"), "/source"),
        (binary(ce_time=b"yesterday"), "/time"),
        (binary(ce_specversion=b"\xff"), "/specversion"),
    ],
)
def test_bad_headers_of_the_binary_mode_are_refused(headers: Headers, pointer: str) -> None:
    error = refusal(json.dumps(purchase()).encode(), headers=headers)
    assert (error.code, error.pointer) == ("contract", pointer)
    assert "\x00" not in error.source


def test_the_source_is_told_wherever_it_can_be_read() -> None:
    assert refusal(sent(total=...)).source == SOURCE
    assert refusal(enveloped(id=...)).source == SOURCE
    assert refusal(enveloped(id=..., source="/shop\x00" + "x" * 200)).source == ("/shop" + "x" * 200)[:128]
    assert refusal(json.dumps({**purchase(), "store": "\x00"}).encode(), headers=binary()).source == SOURCE
    assert refusal(b"not JSON").source == ""


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PATHS = [
    ("id",), ("source",), ("type",), ("time",), ("data",), ("backfill",), ("subject",), ("data", "customer_id"),
    ("data", "order_id"), ("data", "occurred_at"), ("data", "total"), ("data", "lines"), ("data", "attributes"),
    ("data", "lines", 0, "quantity"), ("data", "lines", 0, "unit_price", "amount"), ("data", "order_version"),
]  # fmt: skip
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["ce_id", "ce_specversion", "ce_type", "ce_data", "traceparent", "content-type", "x"]),
        st.none() | st.binary(max_size=12),
    ),
    max_size=4,
)


def holds(value: bytes | None, key: bytes | None, headers: Headers) -> None:
    """The property: an Event with sound parts, or an InvalidEvent that can be stored; nothing else."""
    try:
        event = read(value, key=key, headers=headers)
    except InvalidEvent as invalid:
        refused = invalid
    else:
        assert event.key.encode() == key
        assert TOPICS[TOPIC].data is type(event.data)
        assert len(event.digest) == 32
        return
    assert refused.code
    assert "\x00" not in refused.source
    assert len(refused.source) <= 128
    assert f"{refused.detail}{refused.pointer}{refused.source}".encode()


@given(st.binary(max_size=200), st.none() | st.binary(max_size=5), HEADERS)
def test_arbitrary_bytes_are_an_event_or_invalid(value: bytes, key: bytes | None, headers: Headers) -> None:
    holds(value, key, headers)


@given(st.sampled_from(PATHS), JSON_VALUES)
def test_a_purchase_with_any_field_replaced_is_an_event_or_invalid(path: tuple[Any, ...], value: Any) -> None:
    event = json.loads(record(TOPIC, purchase()).value or b"")
    inner = event
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    holds(json.dumps(event).encode(), KEY, [])


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3), st.sampled_from([bytes.__add__, lambda _, new: new]))
def test_a_purchase_with_bytes_spliced_in_is_an_event_or_invalid(
    at: int, new: bytes, splice: Callable[[bytes, bytes], bytes]
) -> None:
    value = sent()
    at = min(at, len(value) - 1)
    holds(value[:at] + splice(value[at : at + 1], new) + value[at + 1 :], KEY, [])


@given(st.lists(st.tuples(st.sampled_from(["ce_id", "ce_source", "ce_time", "ce_type"]), st.binary(max_size=40))))
def test_a_binary_purchase_with_any_headers_is_an_event_or_invalid(changes: list[tuple[str, bytes]]) -> None:
    holds(json.dumps(purchase()).encode(), KEY, [*binary(), *changes])
