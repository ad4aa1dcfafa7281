"""What profile publishes of segments and of the life-cycle: who entered, who left, by which rule, and why."""

from typing import Annotated, Literal

from msgspec import Meta, field

from shared.contracts.types import Derived, Id, Instant, Scalar

SegmentKind = Literal["lifecycle", "rfm", "value", "class", "own"]
SegmentCause = Literal["event", "time", "rule", "merge"]


class SegmentChanged(Derived):
    """A customer's place in a segment changed at ``occurred_at``: ``from`` and ``to`` are its classes.

    A segment of the user's own has the classes ``in`` and ``out``. ``inputs`` are the facts that the rule read.
    """

    occurred_at: Instant
    segment: Id
    kind: SegmentKind
    rule_version: Annotated[int, Meta(ge=1)]
    cause: SegmentCause
    before: Id | None = field(name="from", default=None)
    after: Id | None = field(name="to", default=None)
    inputs: Annotated[dict[str, Scalar], Meta(max_length=50)] = field(default_factory=dict)


class CustomerLost(Derived):
    """The life-cycle reached lost: so long has the customer been silent."""

    occurred_at: Instant
    last_purchase_at: Instant
    silent_days: Annotated[int, Meta(ge=0)]
    rule_version: Annotated[int, Meta(ge=1)]


class CustomerReturned(Derived):
    """A dormant or lost customer bought again."""

    occurred_at: Instant
    before: Literal["dormant", "lost"] = field(name="from")
    silent_days: Annotated[int, Meta(ge=0)]
    rule_version: Annotated[int, Meta(ge=1)]
