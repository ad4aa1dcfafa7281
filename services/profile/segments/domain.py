"""Segments: the class of a customer on a day, and the next day on which it changes by itself."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Literal

import msgspec

from services.profile.purchases import lifecycle, rfm
from services.profile.purchases.domain import House
from services.profile.segments import facts
from services.profile.segments.facts import Book, Fact, Known
from services.profile.segments.rules import Rule
from shared.contracts.segments import SegmentCause, SegmentKind
from shared.contracts.types import Scalar

IN, OUT = "in", "out"
_READS: Mapping[str, frozenset[str]] = {
    "lifecycle": frozenset({"days_since_last_purchase", "days_since_first_purchase", "purchase_days"}),
    "rfm": frozenset({"days_since_last_purchase", "order_count", "lifetime_spend"}),
    "value": frozenset({"order_count", "lifetime_spend", "purchase_days"}),
    "class": frozenset({"rfm_r", "rfm_f", "rfm_m"}),
}
_TURNS: Mapping[str, str] = {"lifecycle": "lifecycle", "rfm": "rfm_r", "value": "value", "class": "rfm_r"}
_NO_NUMBERS: frozenset[int] = frozenset()
BuiltIn = Literal["lifecycle", "rfm", "value", "class"]
BUILT_IN: tuple[BuiltIn, ...] = ("lifecycle", "rfm", "value", "class")


class Segment(msgspec.Struct, frozen=True):
    """A built-in segment, or, with a rule, one of the shop's own; ``version`` is that of the rule or policy."""

    name: str
    version: int
    rule: Rule | None = None

    @property
    def kind(self) -> SegmentKind:
        """As events say it."""
        return "own" if self.rule else self.name  # type: ignore[return-value]  # a built-in's name is its kind

    @property
    def reads(self) -> frozenset[str]:
        """The facts that decide it."""
        return self.rule.reads if self.rule else _READS[self.name]

    @property
    def nowhere(self) -> str | None:
        """The class of who has no placement."""
        return OUT if self.rule else None


class Placement(msgspec.Struct, frozen=True):
    """Where a customer stands in a segment. ``inputs`` as they were when he came there; ``next_place``: the class that
    time alone makes of it at ``next_at``, None where that isn't known."""

    place: str
    since: datetime
    version: int
    next_at: datetime | None
    inputs: Mapping[str, Scalar] = {}
    next_place: str | None = None


class Move(msgspec.Struct, frozen=True):
    """A change of class: ``before`` and ``after`` None is nowhere."""

    customer_id: str
    segment: Segment
    before: str | None
    after: str | None
    at: datetime
    cause: SegmentCause
    inputs: Mapping[str, Scalar]


def built_in(book: Book) -> list[Segment]:
    """The four, under the policies in force."""
    policies = book.policies
    versions = (policies.lifecycle.version, policies.rfm.version, policies.value.version, policies.classes.version)
    return [Segment(name, version) for name, version in zip(BUILT_IN, versions, strict=True)]


def class_on(known: Known, segment: Segment, book: Book, today: date) -> str | None:
    """The class on a day of the house's zone; None of who has no place, as in rfm who has bought nothing."""
    if segment.rule:
        return IN if segment.rule.holds(facts.facts_on(known, segment.rule.reads, book, today)) else OUT
    if segment.name == "lifecycle":
        return lifecycle.stage(known.purchases, book.policies.lifecycle, today)
    if segment.name == "rfm":
        scores = rfm.score(known.purchases, book.policies.rfm, book.house.currency, today)
        return f"{scores.r}-{scores.f}-{scores.m}" if scores else None
    return str(facts.FACTS[segment.name][1](known, book, today))


def next_change(known: Known, segment: Segment, book: Book, today: date) -> date | None:
    """The first day after ``today`` with another class, if nothing happens until then.

    Exact: a class can change on its facts' turning days alone, and each of these is tried.
    """
    return _next_change(known, segment, book, today, class_on(known, segment, book, today))[0]


def _next_change(
    known: Known, segment: Segment, book: Book, today: date, now: str | None
) -> tuple[date | None, str | None]:
    if segment.rule:
        numbers = segment.rule.numbers
        days = [
            day
            for name in segment.rule.reads
            for day in facts.turning_days(known, name, numbers.get(name, _NO_NUMBERS), book)
        ]
    else:
        days = facts.turning_days(known, _TURNS[segment.name], _NO_NUMBERS, book)
    for day in sorted(days):
        if day > today and (then := class_on(known, segment, book, day)) != now:
            return day, then
    return None, None


def inputs_on(known: Known, segment: Segment, book: Book, today: date) -> dict[str, Scalar]:
    """What the segment's rule read, as events and explanations show it."""
    shown = {name: _shown(fact) for name, fact in sorted(facts.facts_on(known, segment.reads, book, today).items())}
    if segment.name == "lifecycle" and known.purchases.last_day:
        shown["last_purchase_day"] = known.purchases.last_day.isoformat()
    if segment.name == "value" and not known.purchases.orders:
        shown["expected_monthly_spend"] = known.expected_monthly
        shown["activities"] = len(known.signs)
    # What an event may carry.
    return dict(list(shown.items())[:50])


@lru_cache(maxsize=4096)
def start_of(day: date, house: House) -> datetime:
    """``House.start_of``, remembered: a placing asks for few days, and for each of them often."""
    return house.start_of(day)


def place(
    customer_id: str,
    known: Known | None,
    segment: Segment,
    before: Placement | None,
    book: Book,
    at: datetime,
    cause: SegmentCause,
) -> tuple[Placement | None, Move | None]:
    """Where a customer stands at an instant, and the move if that is another class than before.

    ``known`` None is nobody: an id that was joined to another, and has no place of its own any more.
    """
    today = book.house.day(at)
    after = class_on(known, segment, book, today) if known else None
    stood = before.place if before else segment.nowhere
    turns, then = _next_change(known, segment, book, today, after) if known else (None, None)
    next_at = start_of(turns, book.house) if turns else None
    if (after or segment.nowhere) == stood:
        if after is None or (before is None and next_at is None):
            return None, None
        if before is None:
            return Placement(after, at, segment.version, next_at, next_place=then), None
        if (before.version, before.next_at) == (segment.version, next_at) and before.next_place in (None, then):
            return before, None
        return msgspec.structs.replace(before, version=segment.version, next_at=next_at, next_place=then), None
    inputs = inputs_on(known, segment, book, today) if known else {}
    move = Move(customer_id, segment, stood, after, at, cause, inputs)
    return (Placement(after, at, segment.version, next_at, inputs, then) if after else None), move


def was_due(before: Placement | None, after: Placement | None, at: datetime) -> bool:
    """Whether time alone would have taken him, by this instant, to where he has come."""
    if before is None or before.next_at is None or before.next_at > at:
        return False
    return before.next_place in (None, after.place if after else None)


def labels(places: Iterable[tuple[str, str]]) -> list[str]:
    """Where somebody stands, each in a word: own segments by their names, then built-in ones as ``lifecycle:new``."""
    own, classes = [], []
    for name, place in sorted(places):
        if name in BUILT_IN:
            classes.append(f"{name}:{place}")
        elif place == IN:
            own.append(name)
    return own + classes


def of_label(label: str) -> tuple[str, str]:
    """(segment, class) of such a word."""
    name, _, place = label.partition(":")
    return name, place or IN


def _shown(fact: Fact) -> Scalar:
    if isinstance(fact, tuple):
        return ", ".join(fact)
    return str(fact) if isinstance(fact, Decimal) else fact
