"""What of a move is published."""

from collections.abc import Mapping
from datetime import date

from services.profile.segments.domain import Move, Placement
from services.profile.segments.facts import Book, Known
from shared.contracts.segments import CustomerLost, CustomerReturned, SegmentChanged
from shared.contracts.types import Cause
from shared.messaging.outbox import UNNUMBERED, Outgoing

_SILENT = ("dormant", "lost")
_BUYING = ("new", "active", "mature", "returned")


def announced(
    move: Move, person: Known | None, stood: Mapping[tuple[str, str], Placement], book: Book
) -> list[Outgoing]:
    """The events of a move: that it happened, and where it was the end of a customer, or his return."""
    segment = move.segment
    cause = Cause(source="/roost/profile/segments", id=f"{segment.name}:{move.cause}:{move.at.isoformat()}")
    changed = SegmentChanged(
        customer_id=move.customer_id, sequence=UNNUMBERED, caused_by=cause, occurred_at=move.at,
        segment=segment.name, kind=segment.kind, rule_version=segment.version, cause=move.cause,
        before=move.before, after=move.after, inputs=dict(move.inputs),
    )  # fmt: skip
    events = [Outgoing(changed)]
    if segment.name == "lifecycle" and person is not None:
        events += _ends(move, person, stood.get((move.customer_id, segment.name)), book, cause)
    return events


def _ends(move: Move, person: Known, before: Placement | None, book: Book, cause: Cause) -> list[Outgoing]:
    purchases = person.purchases
    if purchases.last_day is None or purchases.last_at is None:
        return []
    if move.after == "lost":
        silent = (book.house.day(move.at) - purchases.last_day).days
        lost = CustomerLost(
            customer_id=move.customer_id, sequence=UNNUMBERED, caused_by=cause, occurred_at=move.at,
            last_purchase_at=purchases.last_at, silent_days=silent, rule_version=move.segment.version,
        )  # fmt: skip
        return [Outgoing(lost)]
    if before and before.place in _SILENT and move.after in _BUYING:
        # An order of before his silence that came late may end it, too: then he was never gone, and hasn't returned.
        bought_before = before.inputs.get("last_purchase_day")
        if bought_before and purchases.last_day >= book.house.day(before.since):
            returned = CustomerReturned(
                customer_id=move.customer_id, sequence=UNNUMBERED, caused_by=cause, occurred_at=move.at,
                before=before.place,  # type: ignore[arg-type]  # one of the two, as was asked above
                silent_days=(purchases.last_day - date.fromisoformat(str(bought_before))).days,
                rule_version=move.segment.version,
            )  # fmt: skip
            return [Outgoing(returned)]
    return []
