"""Reading what is posted: one event or a batch, each event judged on its own."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from services.profile.events.references import Reference, read_referring
from shared.contracts.topics import INCOMING
from shared.messaging.envelope import read_event
from shared.messaging.events import Event, InvalidEvent

MAX_EVENTS = 1000
BATCH = "application/cloudevents-batch+json"
# A string that never ends matches to the end of the body, so that no quote is tried twice: linear on any input.
_MARK = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*\\?(?:"|\Z)|[\[\]{},]', re.DOTALL)


class Refused(msgspec.Struct, frozen=True):
    """An event of a batch that is not accepted, and why."""

    index: int
    code: str
    pointer: str
    detail: str


class MalformedBatch(ValueError):
    """The body can't be taken apart into events."""

    code = "malformed-json"


class Read(msgspec.Struct, frozen=True):
    """The valid events of a request by their place in it, with the bytes they came in, and the others.

    ``references``: of those events that refer to their customer, to whom.
    """

    events: dict[int, tuple[Event, bytes]]
    references: dict[int, Reference]
    refused: list[Refused]


def read(items: Sequence[bytes], now: datetime, region: str) -> Read:
    """Checks each item against the contract of its type; only what other systems publish is let in.

    ``region``: country of a phone number without a country code.
    """
    events: dict[int, tuple[Event, bytes]] = {}
    references: dict[int, Reference] = {}
    refused: list[Refused] = []
    for index, item in enumerate(items):
        try:
            if referring := read_referring(item, region, now):
                event, references[index] = referring
            else:
                event = read_event(item, now)
            if event.topic.name not in INCOMING:
                detail = f"{event.topic.type} is published by {', '.join(event.topic.publishers)} alone"
                raise InvalidEvent("not-accepted", detail, "/type")
            events[index] = (event, item)
        except InvalidEvent as error:
            refused.append(Refused(index, error.code, error.pointer, error.detail))
    return Read(events, {index: to for index, to in references.items() if index in events}, refused)


def split(body: bytes, content_type: str) -> tuple[list[bytes], bool]:
    """The items of a body, and whether they came as a batch (a JSON array). Raises MalformedBatch."""
    is_batch = content_type == BATCH or body.lstrip(b" \t\r\n").startswith(b"[")
    if not is_batch:
        return [body], False
    try:
        return [bytes(item) for item in msgspec.json.decode(body, type=list[msgspec.Raw])], True
    except (msgspec.DecodeError, RecursionError):
        # One item that is no JSON, or too deep, must not take the others with it.
        return list(_items(body)), True


def _items(body: bytes) -> Iterator[bytes]:
    """The items of an array by brackets and strings alone."""
    body = body.strip(b" \t\r\n")
    depth, start = 0, 1
    for mark in _MARK.finditer(body):
        sign = mark[0]
        if sign in b"[{":
            depth += 1
        elif sign in b"]}":
            depth -= 1
        if depth == 0 or (depth == 1 and sign == b","):
            yield body[start : mark.start()]
            start = mark.end()
        if depth == 0:
            break
    if depth or start != len(body) or not (body.startswith(b"[") and body.endswith(b"]")):
        raise MalformedBatch("the body is no JSON array: its brackets don't match")
