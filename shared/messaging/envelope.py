"""CloudEvents 1.0: structured and binary in, structured out."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.contracts.topics import BY_DATA, BY_TYPE, TOPICS, Topic
from shared.contracts.types import PRINTABLE, Instant, Struct
from shared.messaging.events import Event, InvalidEvent

MAX_BYTES = 256 * 1024
AHEAD = timedelta(hours=24)
EARLIEST_YEAR = 1900
CONTENT_TYPE = b"application/cloudevents+json"

Headers = Sequence[tuple[str, bytes]]
_Attribute = Annotated[str, Meta(pattern=PRINTABLE)]


class Envelope(msgspec.Struct, frozen=True):
    """The attributes of a CloudEvent; ``data`` stays undecoded until its type is known."""

    specversion: Literal["1.0"]
    id: _Attribute
    source: _Attribute
    type: _Attribute
    time: Instant
    data: msgspec.Raw = msgspec.Raw(b"null")
    subject: str | None = None
    datacontenttype: str | None = None
    backfill: bool | Literal["true", "false"] = False
    traceparent: str | None = None


_envelope = msgspec.json.Decoder(Envelope)
_decoders = {topic.type: msgspec.json.Decoder(topic.data) for topic in TOPICS.values()}
_encoder = msgspec.json.Encoder()
_AT = re.compile(r" - at `\$(?P<path>.*)`$", re.DOTALL)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def read_record(
    topic: str, key: bytes | None, value: bytes | None, headers: Headers, now: datetime
) -> Event:
    """The event of a Kafka record in either mode. Raises InvalidEvent."""
    if value is None:
        raise InvalidEvent("null-value", "the record has no value: publish a CloudEvent in JSON")
    attributes = {name.lower(): content for name, content in headers}
    binary = "ce_specversion" in attributes
    event = _read_binary(attributes, value, now) if binary else read_event(value, now)
    if event.topic.name != topic:
        raise InvalidEvent(
            "wrong-topic", f"a {event.topic.type} belongs on {event.topic.name}", "/type", source=event.source
        )
    if key is None or key.decode("utf-8", "replace") != event.key:
        raise InvalidEvent(
            "key-mismatch",
            f"the record's key must be data.{event.topic.key} in UTF-8",
            f"/data/{event.topic.key}",
            source=event.source,
        )
    trace = attributes.get("traceparent")
    if trace is None:
        return event
    return msgspec.structs.replace(event, traceparent=trace.decode("ascii", "replace"))


def read_event(value: bytes, now: datetime) -> Event:
    """The event of a structured CloudEvent. Raises InvalidEvent."""
    _check_bytes(value)
    try:
        envelope = _envelope.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _invalid(error, "", _source_of(value)) from error
    return read_data(envelope, now)


def read_data(envelope: Envelope, now: datetime) -> Event:
    """The event of an envelope whose data is checked against the contract of its type. Raises InvalidEvent."""
    topic = BY_TYPE.get(envelope.type)
    source = envelope.source
    if topic is None:
        raise InvalidEvent("unknown-type", f"no event type {envelope.type[:80]!r} is known", "/type", source=source)
    try:
        data: Struct = _decoders[topic.type].decode(envelope.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _invalid(error, "/data", source) from error
    _check_instant(envelope.time, now, "/time", source)
    occurred_at: datetime | None = getattr(data, "occurred_at", None)
    if occurred_at is not None:
        _check_instant(occurred_at, now, "/data/occurred_at", source)
    body = _encoder.encode(data)
    return Event(
        topic=topic,
        source=source,
        id=envelope.id,
        time=envelope.time,
        data=data,
        body=body,
        digest=sha256(topic.type.encode() + b"\n" + body).digest(),
        key=getattr(data, topic.key),
        backfill=envelope.backfill in (True, "true"),
        traceparent=envelope.traceparent,
    )


def write_event(data: Struct, *, source: str, id: str, time: datetime, backfill: bool = False) -> bytes:
    """A structured CloudEvent in JSON of one of the contract types."""
    topic = BY_DATA[type(data)]
    return write_envelope(topic, _encoder.encode(data), source=source, id=id, time=time, backfill=backfill)


def write_envelope(
    topic: Topic, body: bytes, *, source: str, id: str, time: datetime, backfill: bool = False
) -> bytes:
    """The same around data that is encoded already."""
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": topic.type,
        "time": time.astimezone(UTC),
        "datacontenttype": "application/json",
        "data": msgspec.Raw(body),
    }
    if backfill:
        envelope["backfill"] = True
    return _encoder.encode(envelope)


def _read_binary(attributes: Mapping[str, bytes], value: bytes, now: datetime) -> Event:
    _check_bytes(value)
    fields: dict[str, Any] = {
        name[3:]: content.decode("utf-8", "replace") for name, content in attributes.items() if name.startswith("ce_")
    }
    fields.pop("data", None)
    try:
        envelope = msgspec.convert(fields, Envelope)
    except (msgspec.ValidationError, ValueError) as error:
        raise _invalid(error, "", str(fields.get("source", ""))[:128]) from error
    return read_data(msgspec.structs.replace(envelope, data=msgspec.Raw(value)), now)


def _check_bytes(value: bytes) -> None:
    if len(value) > MAX_BYTES:
        raise InvalidEvent("too-large", f"an event has at most {MAX_BYTES} bytes, this has {len(value)}")
    if b"\x00" in value or (b"\\u0000" in value and _NUL.search(value)):
        raise InvalidEvent("nul-character", "U+0000 must not stand in an event", source=_source_of(value))


def _check_instant(at: datetime, now: datetime, pointer: str, source: str) -> None:
    if at.year < EARLIEST_YEAR:
        raise InvalidEvent("too-early", f"{at.isoformat()} lies before {EARLIEST_YEAR}", pointer, source=source)
    if at - now > AHEAD:
        raise InvalidEvent(
            "in-the-future", f"{at.isoformat()} lies more than 24 h ahead: check the clock", pointer, source=source
        )


def _invalid(error: Exception, base: str, source: str) -> InvalidEvent:
    if isinstance(error, RecursionError):
        return InvalidEvent("too-deep", "the JSON is nested too deeply", base, source=source)
    message = str(error)
    match = _AT.search(message)
    pointer = base + _pointer(match["path"]) if match else base
    detail = message[: match.start()] if match else message
    if isinstance(error, msgspec.ValidationError):
        return InvalidEvent("contract", detail, pointer, source=source)
    return InvalidEvent("invalid-json", detail, base, source=source)


def _pointer(path: str) -> str:
    """``.lines[0].sku`` as ``/lines/0/sku``."""
    return re.sub(r"\[(\d+|\.\.\.)\]", r"/\1", path).replace(".", "/").replace("//////", "/...")


def _source_of(value: bytes) -> str:
    """The source of an unreadable event where it can still be read, for the count by source."""
    try:
        found = msgspec.json.decode(value[:MAX_BYTES], type=dict[str, msgspec.Raw]).get("source")
        source = msgspec.json.decode(found, type=str) if found is not None else ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return ""
    return source[:128].replace("\x00", "")
