"""``data.customer_ref`` in place of ``data.customer_id``: what a till knows a customer by. It reaches no topic."""

from datetime import datetime
from typing import Literal

import msgspec

from services.profile.customers.contact_points import InvalidContactPoint, normalised
from services.profile.identifiers.domain import InvalidIdentifier, as_kept
from services.profile.vault.domain import Index
from shared.contracts.types import Id
from shared.messaging.envelope import read_event, write_event
from shared.messaging.events import Event, InvalidEvent

POINTER = "/data/customer_ref"
# What the contract of the event sees in place of an id; the customer isn't known yet.
_NOBODY_YET = msgspec.Raw(b'"customer_ref"')
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Reference(msgspec.Struct, frozen=True, order=True):
    """An address or an identifier, as it is kept and looked up."""

    kind: Literal["phone", "email", "messaging", "member-number", "card", "external"]
    value: Id


_reference = msgspec.json.Decoder(Reference)


def read_referring(item: bytes, region: str, now: datetime) -> tuple[Event, Reference] | None:
    """An event that refers to its customer, which nothing keeps the value in, and the reference; None of any other.

    ``region``: country of a phone number without a country code. Raises InvalidEvent.
    """
    # Escaped it is no name that a client writes, and still one that JSON reads.
    if b"customer_ref" not in item and b"\\u" not in item:
        return None
    try:
        envelope = _object.decode(item)
        data = _object.decode(envelope["data"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    if "customer_ref" not in data:
        return None
    if "customer_id" in data:
        raise _invalid("send customer_id or customer_ref, not both", "")
    reference = _read(data.pop("customer_ref"), region)
    data["customer_id"] = _NOBODY_YET
    event = read_event(msgspec.json.encode(envelope | {"data": msgspec.Raw(msgspec.json.encode(data))}), now)
    if event.topic.key != "customer_id":
        raise _invalid(f"a {event.topic.type} has no customer", "")
    return event, reference


def digest(event: Event, reference: Reference, index: Index) -> bytes:
    """Tells an event's content and whom it refers to, to whom has the key alone; it is the same whoever has the address
    by now."""
    return index.digest(f"event {reference.kind}", f"{event.digest.hex()} {reference.value}")


def resolved(event: Event, customer_id: str) -> bytes:
    """The event as it is published: of a customer, and with nothing but what its contract names."""
    data = msgspec.structs.replace(event.data, customer_id=customer_id)
    return write_event(data, source=event.source, id=event.id, time=event.time, backfill=event.backfill)


def _read(raw: msgspec.Raw, region: str) -> Reference:
    try:
        said = _reference.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        detail, _, path = str(error).partition(" - at `$")
        raise _invalid(detail, path.rstrip("`").replace(".", "/")) from error
    try:
        match said.kind:
            case "phone" | "email" | "messaging":
                value = normalised(said.kind, said.value, region)
            case "member-number" | "card" | "external":
                value = as_kept(said.kind, said.value)
    except (InvalidContactPoint, InvalidIdentifier) as error:
        raise InvalidEvent(error.code, str(error), f"{POINTER}/value") from error
    return Reference(said.kind, value)


def _invalid(detail: str, place: str) -> InvalidEvent:
    return InvalidEvent("contract", detail, f"{POINTER}{place}")
