"""A request over HTTP as the cause of what it leads to."""

from shared.contracts.types import Cause
from shared.observability import current_traceparent, parse_traceparent


def request_cause() -> Cause:
    """The request in hand, as the cause of the events it leads to: named by its trace."""
    trace = parse_traceparent(current_traceparent.get())
    assert trace is not None, "every request has a trace"
    return Cause(source="/roost/loyalty/requests", id=trace.trace_id)
