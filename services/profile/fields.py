"""The field types that profile's requests share, and what a request leaves as the cause of its events."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, StringConstraints

from shared.contracts.types import Cause
from shared.observability import child_of, current_traceparent, parse_traceparent

CUSTOMER_ID = r"^[A-Za-z0-9._:~-]{1,64}$"
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,128}$"
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _within_living_memory(at: datetime) -> datetime:
    if not _EARLIEST <= at <= _LATEST:
        raise ValueError("an instant from 1900 to 2200")
    return at


def _in_a_year_of_ours(day: date) -> date:
    if not 1900 <= day.year <= 2200:
        raise ValueError("a day from 1900 to 2200")
    return day


CustomerId = Annotated[str, StringConstraints(pattern=CUSTOMER_ID)]
CustomerInPath = Annotated[str, Path(pattern=CUSTOMER_ID)]
IdInPath = Annotated[str, Path(pattern=PRINTABLE)]
Id = Annotated[str, StringConstraints(pattern=PRINTABLE)]
Instant = Annotated[AwareDatetime, AfterValidator(_within_living_memory)]
Day = Annotated[date, AfterValidator(_in_a_year_of_ours)]
FromDay = Annotated[Day | None, Query(alias="from", description="The first day; 90 days before `to` if absent")]
ToDay = Annotated[Day | None, Query(alias="to", description="The day after the last; tomorrow at the latest")]


def request_cause() -> Cause:
    """The request in hand, as the cause of the events it leads to: named by its trace."""
    trace = parse_traceparent(current_traceparent.get())
    assert trace is not None, "every request has a trace"
    return Cause(source="/roost/profile/requests", id=trace.trace_id)


def outgoing_trace() -> str:
    """The ``traceparent`` of events that the request in hand leads to."""
    return child_of(current_traceparent.get())
