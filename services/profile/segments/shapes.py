"""Segments as JSON."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.profile import examples
from services.profile.policies.domain import FALLBACK_CURRENCY, RfmCutPoints
from services.profile.segments.catalogue import Definition, Member, Placed, Preview
from services.profile.segments.domain import Segment
from services.profile.segments.explaining import Explanation, Standing
from services.profile.segments.recalibration import Recalibration
from shared.contracts.segments import SegmentCause, SegmentKind

NAME = r"^[a-z][a-z0-9-]{0,63}$"
Name = Annotated[str, StringConstraints(pattern=NAME)]
Scalar = str | int | float | bool | None

RULE: dict[str, Any] = {
    "all": [
        {"fact": "tags", "op": "contains", "value": "tea"},
        {"fact": "order_count", "op": ">=", "value": 3},
        {"not": {"fact": "days_since_last_purchase", "op": ">", "value": 60}},
        {"fact": "contact_planned", "op": "known", "value": False},
    ]
}
WRITTEN: dict[str, Any] = {"title": "Tea lovers", "rule": RULE}
SEGMENT: dict[str, Any] = {
    "name": "tea-lovers", "kind": "own", "version": 2, "title": "Tea lovers", "rule": RULE,
    "created_at": "2026-11-20T08:15:00Z",
    "placing": {"placed": 1200, "moved": 31, "started_at": "2026-11-20T08:15:00Z", "finished_at": None},
}  # fmt: skip
LISTED = {"items": [SEGMENT], "next_cursor": None}
MEMBER = {
    "customer_id": examples.CUSTOMER_ID, "since": "2026-11-20T08:15:00Z",
    "next_transition_at": "2027-01-19T16:00:00Z",
}  # fmt: skip
PREVIEW = {"examined": 5200, "moves": [{"from": "out", "to": "in", "count": 31, "examples": [examples.CUSTOMER_ID]}]}
STANDING = {
    "segment": "lifecycle", "class": "new", "since": "2026-11-20T08:15:00Z", "rule_version": 1,
    "next_transition_at": "2027-02-17T16:00:00Z",
}  # fmt: skip
EXPLANATION: dict[str, Any] = {
    "segment": "tea-lovers", "class": "in", "rule_version": 2, "rule": RULE,
    "inputs": {"contact_planned": None, "days_since_last_purchase": 2, "order_count": 3, "tags": "tea"},
    "last_move": {
        "at": "2026-11-20T08:15:00Z", "from": "out", "cause": "event", "rule_version": 2,
        "inputs": {"contact_planned": None, "days_since_last_purchase": 0, "order_count": 3, "tags": "tea"},
    },
    "next_transition_at": "2027-01-19T16:00:00Z", "next_class": "out",
}  # fmt: skip
CUTS = {"recency_days": [30, 60, 120, 240], "orders": [2, 4, 8, 16], "spend": [1500, 5000, 15000, 50000]}
RECALIBRATION = {
    "applied": False, "version": 1, "customers": 5200, "moved": 1410, "before": CUTS,
    "after": CUTS | {"orders": [2, 3, 5, 9]}, "moves": [{"from": "5-1-1", "to": "5-2-1", "count": 310}],
}  # fmt: skip


class Written(BaseModel):
    """A rule: a tree of ``all``, ``any`` and ``not`` over conditions ``{fact, op, value}``."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": WRITTEN})

    title: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    rule: dict[str, Any]


class NewSegment(Written):
    """A segment of the shop's own."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "tea-lovers", **WRITTEN}})

    name: Name


class Asked(BaseModel):
    """A rule to be tried."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"rule": RULE}})

    rule: dict[str, Any]


class PlacingView(BaseModel):
    """How far everybody has been placed by the newest version."""

    placed: int
    moved: int
    started_at: datetime
    finished_at: datetime | None


class SegmentView(BaseModel):
    """A segment; the rule of a built-in one is its policy."""

    name: str
    kind: SegmentKind
    version: int
    title: str | None
    rule: dict[str, Any] | None
    created_at: datetime | None
    placing: PlacingView | None


class MemberView(BaseModel):
    """Who stands in a class."""

    customer_id: str
    since: datetime
    next_transition_at: datetime | None


class MoveView(BaseModel):
    """A change of class, how many make it, and some of them."""

    before: str = Field(serialization_alias="from")
    after: str = Field(serialization_alias="to")
    count: int
    examples: list[str]


class PreviewView(BaseModel):
    """Who would move, of all whose files aren't restricted."""

    examined: int
    moves: list[MoveView]


class StandingView(BaseModel):
    """A customer's class in a segment. ``next_transition_at``: when time alone changes it; null for the past."""

    segment: str
    place: str = Field(serialization_alias="class")
    since: datetime
    rule_version: int
    next_transition_at: datetime | None


class StandingsView(BaseModel):
    """The segments a customer is in."""

    items: list[StandingView]


class LastMoveView(BaseModel):
    """How he came to where he stands."""

    at: datetime
    before: str | None = Field(serialization_alias="from")
    cause: SegmentCause
    rule_version: int
    inputs: dict[str, Scalar]


class ExplanationView(BaseModel):
    """Why a customer stands where he does, by the facts of now, and when time alone changes it."""

    segment: str
    place: str | None = Field(serialization_alias="class")
    rule_version: int
    rule: dict[str, Any]
    inputs: dict[str, Scalar]
    last_move: LastMoveView | None
    next_transition_at: datetime | None
    next_place: str | None = Field(serialization_alias="next_class")


class CutPoints(BaseModel):
    """Where the next score begins; spend in units of the house's currency."""

    recency_days: list[int]
    orders: list[int]
    spend: list[int]


class RfmMoveView(BaseModel):
    """How many go from one class of rfm to another."""

    before: str = Field(serialization_alias="from")
    after: str = Field(serialization_alias="to")
    count: int


class Recalibrate(BaseModel):
    """Whether the new cut-points shall hold, or only be shown."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"apply": False}})

    apply: bool = False


class RecalibrationView(BaseModel):
    """The cut-points in force and those of today's quintiles; ``version`` is in force after it."""

    applied: bool
    version: int
    customers: int
    moved: int
    before: CutPoints
    after: CutPoints
    moves: list[RfmMoveView]


def segment_view(segment: Segment, definition: Definition | None, placed: Placed | None) -> SegmentView:
    """A segment, with its rule if it is the shop's own."""
    return SegmentView(
        name=segment.name,
        kind=segment.kind,
        version=segment.version,
        title=definition.title if definition else None,
        rule=definition.rule if definition else None,
        created_at=definition.created_at if definition else None,
        placing=PlacingView(
            placed=placed.placed, moved=placed.moved, started_at=placed.started_at, finished_at=placed.finished_at
        )
        if placed
        else None,
    )


def member_view(member: Member) -> MemberView:
    """A member."""
    return MemberView(
        customer_id=member.customer_id, since=member.since, next_transition_at=member.next_transition_at
    )


def preview_view(preview: Preview) -> PreviewView:
    """Who would move, the most first."""
    moves = sorted(preview.counts.items(), key=lambda move: (-move[1], move[0]))
    return PreviewView(
        examined=preview.examined,
        moves=[
            MoveView(before=before, after=after, count=count, examples=preview.examples[before, after])
            for (before, after), count in moves
        ],
    )


def standing_view(standing: Standing) -> StandingView:
    """A class."""
    return StandingView(
        segment=standing.segment,
        place=standing.place,
        since=standing.since,
        rule_version=standing.rule_version,
        next_transition_at=standing.next_transition_at,
    )


def explanation_view(why: Explanation) -> ExplanationView:
    """An explanation."""
    last = why.last_move
    return ExplanationView(
        segment=why.segment,
        place=why.place,
        rule_version=why.rule_version,
        rule=dict(why.rule),
        inputs=dict(why.inputs),
        last_move=LastMoveView(
            at=last.at, before=last.before, cause=last.cause, rule_version=last.rule_version, inputs=dict(last.inputs)
        )
        if last
        else None,
        next_transition_at=why.next_transition_at,
        next_place=why.next_place,
    )


def recalibration_view(found: Recalibration, currency: str) -> RecalibrationView:
    """A recalibration; spend as it holds for the house's currency."""

    def cuts(points: RfmCutPoints) -> CutPoints:
        spend = points.spend.get(currency) or points.spend[FALLBACK_CURRENCY]
        return CutPoints(recency_days=list(points.recency_days), orders=list(points.orders), spend=list(spend))

    return RecalibrationView(
        applied=found.applied,
        version=found.version,
        customers=found.customers,
        moved=found.moved,
        before=cuts(found.before),
        after=cuts(found.after),
        moves=[RfmMoveView(before=before, after=after, count=count) for before, after, count in found.moves],
    )
