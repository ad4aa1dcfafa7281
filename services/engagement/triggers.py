"""What led to a plan or a contact: the event, or the request, and the trace it belongs to."""

import msgspec

from shared.contracts.types import Cause
from shared.messaging.events import Event
from shared.observability import current_traceparent, parse_traceparent


class Trigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cause of what follows, kept with it until it is published."""

    source: str
    id: str
    traceparent: str | None = None

    @property
    def cause(self) -> Cause:
        return Cause(source=self.source, id=self.id)


UNKNOWN = Trigger("/roost/engagement", "plan")


def by_event(event: Event) -> Trigger:
    """The event as a trigger."""
    return Trigger(event.source, event.id, event.traceparent)


def by_request(id: str) -> Trigger:
    """The request being answered; ``id`` names its object where it has no trace."""
    traceparent = current_traceparent.get()
    trace = parse_traceparent(traceparent) if traceparent else None
    return Trigger("/roost/engagement/http", trace.trace_id if trace else id, traceparent)


def write_trigger(trigger: Trigger) -> str:
    """As it is stored."""
    return msgspec.json.encode(trigger).decode()


_decoder = msgspec.json.Decoder(Trigger)


def read_trigger(stored: str | None) -> Trigger:
    """As it was stored; ``UNKNOWN`` where nothing was."""
    return _decoder.decode(stored) if stored else UNKNOWN
