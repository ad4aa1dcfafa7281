"""Taking a posted body apart."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile.events.reading import BATCH, MalformedBatch, read, split
from tests.kit.builders import NOW, cloud_event, purchase

JSON = "application/json"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(VALUES, min_size=1, max_size=5), st.integers(0, 5))
def test_one_item_that_is_no_json_leaves_the_others_whole(values: list[Any], place: int) -> None:
    items = [json.dumps(value).encode() for value in values]
    items.insert(min(place, len(items)), b'{"amount": NaN}')
    found, is_batch = split(b"[" + b" , ".join(items) + b"]", JSON)
    assert is_batch
    assert [item.strip() for item in found] == items


def test_an_item_nested_too_deep_is_refused_alone() -> None:
    good = msgspec.json.encode(cloud_event("purchase-recorded", purchase()))
    deep = good[:-2] + b', "attributes": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}"
    items, _ = split(b"[" + good + b"," + deep + b"]", BATCH)
    found = read(items, NOW, "TW")
    assert list(found.events) == [0]
    assert [(refused.index, refused.code) for refused in found.refused] == [(1, "too-deep")]


@pytest.mark.parametrize("body", [b"[", b"[}", b'["a', b"[1]]", b"[1]2", b'[{"a": 1}', b"[" + b'\\"' * 5000])
def test_a_batch_whose_brackets_dont_match_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBatch):
        split(body, JSON)


def test_an_object_is_one_event_and_an_array_a_batch() -> None:
    assert split(b'{"a": []}', JSON) == ([b'{"a": []}'], False)
    assert split(b" [{}, {}] ", JSON) == ([b"{}", b"{}"], True)
    assert split(b"[]", JSON) == ([], True)


def test_what_this_system_publishes_itself_is_not_let_in() -> None:
    event = cloud_event("tier-changed", {"customer_id": "c", "sequence": 1, "caused_by": {"source": "s", "id": "1"},
                                         "occurred_at": NOW.isoformat(), "direction": "up"})  # fmt: skip
    refused = read([msgspec.json.encode(event)], NOW, "TW").refused[0]
    assert (refused.code, refused.pointer) == ("not-accepted", "/type")
