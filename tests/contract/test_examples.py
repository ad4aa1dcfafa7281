import json
from datetime import datetime
from typing import Any

import jsonschema
import msgspec
import pytest

from shared.contracts.schemas import FOLDER, event_schema
from shared.contracts.topics import TOPICS, Topic
from shared.messaging.envelope import read_event, read_record, write_event

EXAMPLES = FOLDER / "examples"
LATER = datetime.fromisoformat("2030-01-01T00:00:00+00:00")
each_topic = pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)


@each_topic
def test_an_example_reads_as_its_type_and_writes_back_equal(topic: Topic) -> None:
    text = _text(topic.type)
    event = read_event(text, LATER)
    assert (event.topic, type(event.data)) == (topic, topic.data)
    written = write_event(event.data, source=event.source, id=event.id, time=event.time)
    assert json.loads(written) == json.loads(text)


@each_topic
def test_an_example_is_valid_by_its_schema(topic: Topic) -> None:
    jsonschema.Draft202012Validator(event_schema(topic)).validate(json.loads(_text(topic.type)))


@each_topic
def test_an_example_without_a_required_field_is_refused_by_its_schema(topic: Topic) -> None:
    validator = jsonschema.Draft202012Validator(event_schema(topic))
    required = [field.encode_name for field in msgspec.structs.fields(topic.data) if field.required]
    assert required
    for name in required:
        event: dict[str, Any] = json.loads(_text(topic.type))
        del event["data"][name]
        assert not validator.is_valid(event)


def test_the_binary_mode_carries_the_same_event() -> None:
    binary = json.loads(_text("purchase-recorded.v1.binary-mode"))
    event = read_record(
        "purchase-recorded",
        binary["key"].encode(),
        json.dumps(binary["value"]).encode(),
        [(name, value.encode()) for name, value in binary["headers"].items()],
        LATER,
    )
    assert event == read_event(_text("purchase-recorded.v1"), LATER)


def _text(name: str) -> bytes:
    return (EXAMPLES / f"{name}.json").read_bytes()
