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
from shared.observability import parse_traceparent

MAX_BYTES = 256 * 1024
AHEAD = timedelta(hours=24)
EARLIEST_YEAR = 1900
CONTENT_TYPE = b"application/cloudevents+json"
_CLOUD_EVENTS = b"application/cloudevents"

Headers = Sequence[tuple[str, bytes | None]]
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
# Sorted, so that attributes in another order are the same content.
_encoder = msgspec.json.Encoder(order="deterministic")
_AT = re.compile(r" - at `(?:key` in `)?\$(?P<path>.*)`$", re.DOTALL)
_STEP = re.compile(r"\[(?P<index>\d+)\]|\.(?P<name>\w+)|\[\.\.\.\].*", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>\w+)`")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def read_record(
    topic: str, key: bytes | None, value: bytes | None, headers: Headers, now: datetime
) -> Event:
    """The event of a Kafka record in either mode. Raises InvalidEvent."""
    if value is None:
        raise InvalidEvent("null-value", "the record has no value: publish a CloudEvent in JSON")
    attributes = {name.lower(): content for name, content in headers if content is not None}
    structured = attributes.get("content-type", b"").startswith(_CLOUD_EVENTS)
    binary = "ce_specversion" in attributes and not structured
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
    if "traceparent" not in attributes:
        return event
    return msgspec.structs.replace(event, traceparent=_valid_trace(attributes["traceparent"].decode("latin-1")))


def read_event(value: bytes, now: datetime) -> Event:
    """The event of a structured CloudEvent. Raises InvalidEvent."""
    _check_bytes(value)
    try:
        envelope = _envelope.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise not_as_agreed(error, "", _source_of(value)) from error
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
        raise not_as_agreed(error, "/data", source) from error
    _check_instant(envelope.time, now, "/time", source)
    occurred_at: datetime | None = getattr(data, "occurred_at", None)
    if occurred_at is not None:
        _check_instant(occurred_at, now, "/data/occurred_at", source)
    try:
        body = _encoder.encode(data)
    except (OverflowError, ValueError) as error:
        raise InvalidEvent("contract", f"a number is too large: {error}", "/data", source=source) from error
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
        traceparent=_valid_trace(envelope.traceparent),
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
    source = attributes.get("ce_source", b"").decode("utf-8", "replace")
    _check_bytes(value, source)
    fields: dict[str, str] = {}
    for name, content in attributes.items():
        if name.startswith("ce_") and name != "ce_data":
            try:
                fields[name[3:]] = content.decode("utf-8")
            except UnicodeDecodeError as error:
                pointer = "/" + name[3:]
                raise InvalidEvent("contract", f"the header {name} is not UTF-8", pointer, source=source) from error
    try:
        envelope = msgspec.convert(fields, Envelope)
    except (msgspec.ValidationError, ValueError) as error:
        raise not_as_agreed(error, "", source) from error
    return read_data(msgspec.structs.replace(envelope, data=msgspec.Raw(value)), now)


def _check_bytes(value: bytes, source: str = "") -> None:
    if len(value) > MAX_BYTES:
        detail = f"an event has at most {MAX_BYTES} bytes, this has {len(value)}"
        raise InvalidEvent("too-large", detail, source=source)
    if b"\x00" in value or (b"\\u0000" in value and _NUL.search(value)):
        raise InvalidEvent("nul-character", "U+0000 must not stand in an event", source=source or _source_of(value))


def _check_instant(at: datetime, now: datetime, pointer: str, source: str) -> None:
    if at.year < EARLIEST_YEAR:
        raise InvalidEvent("too-early", f"{at.isoformat()} lies before {EARLIEST_YEAR}", pointer, source=source)
    if at - now > AHEAD:
        raise InvalidEvent(
            "in-the-future", f"{at.isoformat()} lies more than 24 h ahead: check the clock", pointer, source=source
        )


def not_as_agreed(error: Exception, base: str, source: str = "") -> InvalidEvent:
    """What a decoder found wrong, as an error with the pointer of the field below ``base``."""
    if isinstance(error, RecursionError):
        return InvalidEvent("too-deep", "the JSON is nested too deeply", base, source=source)
    message = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return InvalidEvent("invalid-json", message, base, source=source)
    match = _AT.search(message)
    detail = message[: match.start()] if match else message
    pointer = base + _pointer(match["path"]) if match else base
    if missing := _MISSING.match(detail):
        pointer += "/" + missing["name"]
    return InvalidEvent("contract", detail, pointer, source=source)


def _pointer(path: str) -> str:
    """``.lines[0].sku`` as ``/lines/0/sku``; in a map, whose key msgspec doesn't tell, the map itself."""
    return _STEP.sub(lambda step: "/" + (step["index"] or step["name"]) if step["index"] or step["name"] else "", path)


def _valid_trace(traceparent: str | None) -> str | None:
    return traceparent if parse_traceparent(traceparent) else None


def _source_of(value: bytes) -> str:
    """The source of an unreadable event where it can still be read, for the count by source."""
    try:
        found = msgspec.json.decode(value[:MAX_BYTES], type=dict[str, msgspec.Raw]).get("source")
        return msgspec.json.decode(found, type=str) if found is not None else ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return ""
