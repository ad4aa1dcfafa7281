"""Tiers: a pure function of what became of a customer's orders, a programme version and an instant.

``qualified(t)`` is the highest tier of which everything that it asks for holds: spend, points and orders of the window
that ends at t, and the time since the first order. A tier is kept for the grace time after that: ``held(t)`` is the
highest qualified in (t - grace, t].
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import zip_longest
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.programmes.domain import Calendar, Programme, Tier

Spend = tuple[datetime, int] | tuple[datetime, int, int]
"""When an order was placed, what stands of it in minor units of the programme's currency (more than 0), and the points
that it earned, less what was reversed; these only where a tier asks for points."""

Span = tuple[datetime, datetime]
"""From the first instant to before the second."""

Change = tuple[datetime, int]
"""From when on a sum is so much more, or less."""

Measure = Literal["spend", "points", "orders", "tenure_days"]

NONE = -1
_ALWAYS = datetime(9999, 1, 1, tzinfo=UTC)
_AGES = timedelta(days=365 * 400)
_MONTHS: dict[Calendar, int] = {"year": 12, "quarter": 3}


class Step(msgspec.Struct, frozen=True):
    """A crossing: from ``at`` on the tier is ``to``; None is no tier."""

    at: datetime
    to: str | None


class Measured(msgspec.Struct, frozen=True):
    """How much there is of what a tier asks for, and how much it asks: minor units, points, orders, whole days."""

    measure: Measure
    reached: int
    asked: int

    @property
    def missing(self) -> int:
        """What is left to it."""
        return max(0, self.asked - self.reached)


class Standing(msgspec.Struct, frozen=True):
    """What a customer sees of his tier at an instant. Money in minor units.

    ``missing``: spend to ``next``, the tier above; ``measured``: all that it asks for, or at the top what the held tier
    asks for; ``projected``: the next change if nothing more is bought.
    """

    name: str
    since: datetime
    spend: int
    next: str | None
    missing: int
    projected: Step | None
    measured: Sequence[Measured] = ()


class Ladder:
    """One customer's orders against a version's tiers, read in one pass when the first question comes."""

    def __init__(self, programme: Programme, spends: Sequence[Spend]) -> None:
        self._tiers = programme.tiers
        self._grace = programme.grace
        self._zone = programme.zone
        self._spends = spends
        self._total = sum(spend[1] for spend in spends)

    @property
    def reaches_any(self) -> bool:
        """Whether the orders could hold a tier at any time: all of them together come to what one asks for."""
        if not self._tiers:
            return False
        lowest = self._tiers[0]
        # Of tiers by spend alone the first asks for the least.
        return self._could_hold(lowest) or (
            not lowest.by_spend_alone and any(self._could_hold(tier) for tier in self._tiers)
        )

    def at(self, at: datetime) -> str | None:
        """The name of the tier held at that instant."""
        return self._name(self._held(at))

    def tier_at(self, at: datetime) -> Tier | None:
        """The tier held at that instant."""
        rank = self._held(at)
        return None if rank == NONE else self._tiers[rank]

    def factor(self, at: datetime) -> int:
        """The ten-thousandths that the tier held then adds to the base."""
        rank = self._held(at)
        return 0 if rank == NONE else self._tiers[rank].extra

    def rank(self, name: str | None) -> int:
        """The place of a tier, from 0; -1 for none, and for one that this version doesn't know."""
        return next((rank for rank, tier in enumerate(self._tiers) if tier.name == name), NONE)

    def since(self, at: datetime) -> datetime:
        """From when on the tier held at that instant has been held without a break."""
        return self._since(at, self._held(at))

    def next_step(self, after: datetime) -> Step | None:
        """The first change later than ``after``, if no more is bought."""
        held = self._held(after)
        for at in self._boundaries[bisect_right(self._boundaries, after) :]:
            rank = self._held(at)
            if rank != held:
                return Step(at, self._name(rank))
        return None

    def next_fall(self, after: datetime) -> Step | None:
        """The first change to a lower tier later than ``after``, if no more is bought."""
        held = self._held(after)
        step = self.next_step(after)
        while step is not None and (rank := self.rank(step.to)) > held:
            held, step = rank, self.next_step(step.at)
        return step

    def steps(self, after: datetime, until: datetime) -> Iterator[Step]:
        """Every change in (after, until], in their order."""
        step = self.next_step(after)
        while step is not None and step.at <= until:
            yield step
            step = self.next_step(step.at)

    def standing(self, at: datetime) -> Standing | None:
        """Everything about the tier held at that instant; None without one."""
        rank = self._held(at)
        if rank == NONE:
            return None
        above = self._tiers[rank + 1] if rank + 1 < len(self._tiers) else None
        aim = above or self._tiers[rank]
        spend = sum(one[1] for one in self._within(aim, at))
        return Standing(
            name=self._tiers[rank].name,
            since=self._since(at, rank),
            spend=spend,
            next=above.name if above else None,
            missing=max(0, above.spend - spend) if above else 0,
            projected=self.next_step(at),
            measured=tuple(self.measured(aim, at)),
        )

    def measured(self, tier: Tier, at: datetime) -> Iterator[Measured]:
        """What there is at that instant of everything that a tier asks for."""
        within = self._within(tier, at)
        if tier.spend:
            yield Measured("spend", sum(one[1] for one in within), tier.spend)
        if tier.points:
            yield Measured("points", sum(map(_points, within)), tier.points)
        if tier.orders:
            yield Measured("orders", len(within), tier.orders)
        if tier.tenure:
            first = min((one[0] for one in self._spends), default=at)
            yield Measured("tenure_days", max(0, (at - first).days), tier.tenure.days)

    def _within(self, tier: Tier, at: datetime) -> list[Spend]:
        return [one for one in self._spends if one[0] <= at < _leaves(one[0], tier, self._zone)]

    def _could_hold(self, tier: Tier) -> bool:
        if tier.by_spend_alone:
            return self._total >= tier.spend
        return (
            self._total >= tier.spend
            and len(self._spends) >= max(tier.orders, 1)
            and (not tier.points or sum(map(_points, self._spends)) >= tier.points)
        )

    def _name(self, rank: int) -> str | None:
        return None if rank == NONE else self._tiers[rank].name

    def _since(self, at: datetime, rank: int) -> datetime:
        since = at
        for point in reversed(self._boundaries[: bisect_right(self._boundaries, at)]):
            if self._held(point) != rank:
                break
            since = point
        return since

    def _held(self, at: datetime) -> int:
        for rank in range(len(self._tiers) - 1, NONE, -1):
            spans = self._spans[rank]
            place = bisect_right(spans, at, key=_start)
            if place and at < spans[place - 1][1]:
                return rank
        return NONE

    @cached_property
    def _spans(self) -> list[list[Span]]:
        """For each tier, from the lowest, when it is held: [start, end), apart and in order."""
        # Nothing that counts is negative: who has less in all than a tier asks for has never held it.
        return [
            list(_kept(_qualified(self._spends, tier, self._zone), self._grace)) if self._could_hold(tier) else []
            for tier in self._tiers
        ]

    @cached_property
    def _boundaries(self) -> list[datetime]:
        found = {instant for spans in self._spans for span in spans for instant in span}
        return sorted(found - {_ALWAYS})


def _qualified(spends: Sequence[Spend], tier: Tier, zone: ZoneInfo) -> Iterator[Span]:
    """When everything holds that a tier asks for, without grace."""
    found: Iterator[Span] | None = None
    if tier.spend:
        found = _reaching([(one[0], one[1]) for one in spends], tier.spend, tier, zone)
    if tier.points:
        counted = _reaching([(one[0], _points(one)) for one in spends], tier.points, tier, zone)
        found = _both(found, counted) if found else counted
    if tier.orders:
        counted = _reaching([(one[0], 1) for one in spends], tier.orders, tier, zone)
        found = _both(found, counted) if found else counted
    if tier.tenure:
        grown = iter([(min(one[0] for one in spends) + tier.tenure, _ALWAYS)])
        found = _both(found, grown) if found else grown
    return found or iter(())


def _reaching(amounts: Sequence[Change], least: int, tier: Tier, zone: ZoneInfo) -> Iterator[Span]:
    """When what is in the window comes to ``least``.

    An amount counts from its instant until it leaves the window: it arrives once and leaves once.
    """
    changes = sorted([*amounts, *((_leaves(at, tier, zone), -amount) for at, amount in amounts)])
    sum_ = 0
    start = None
    for (at, amount), following in zip_longest(changes, changes[1:]):
        sum_ += amount
        if following is not None and following[0] == at:
            # What happens at one instant counts together.
            continue
        if sum_ >= least:
            start = start or at
        elif start is not None:
            yield start, at
            start = None


def _both(ours: Iterator[Span], theirs: Iterator[Span]) -> Iterator[Span]:
    """When both hold."""
    one, other = next(ours, None), next(theirs, None)
    while one is not None and other is not None:
        start, end = max(one[0], other[0]), min(one[1], other[1])
        if start < end:
            yield start, end
        if one[1] <= other[1]:
            one = next(ours, None)
        else:
            other = next(theirs, None)


def _kept(spans: Iterator[Span], grace: timedelta) -> Iterator[Span]:
    """These, each with the grace time after it; those that touch then are one."""
    kept: Span | None = None
    for start, end in spans:
        end = end if end == _ALWAYS else end + grace
        if kept is not None and kept[1] < start:
            yield kept
            kept = None
        kept = (kept[0] if kept else start, end)
    if kept is not None:
        yield kept


def _leaves(at: datetime, tier: Tier, zone: ZoneInfo) -> datetime:
    """When what happened ``at`` no longer counts for a tier."""
    if tier.calendar is None:
        return at + tier.window
    local = at.astimezone(zone)
    months = _MONTHS[tier.calendar]
    years, month = divmod((local.month - 1) // months * months + months, 12)
    return datetime(local.year + years, month + 1, 1, tzinfo=zone).astimezone(UTC)


def _points(spend: Spend) -> int:
    return spend[2] if len(spend) == 3 else 0


def _start(span: Span) -> datetime:
    return span[0]


def reach(programme: Programme) -> timedelta:
    """How far back orders matter for what is held now."""
    if any(tier.tenure for tier in programme.tiers):
        return _AGES
    return max((tier.window for tier in programme.tiers), default=timedelta()) + programme.grace


def measures_points(programme: Programme) -> bool:
    """Whether its tiers ask for points, so that orders have to be read with theirs."""
    return any(tier.points for tier in programme.tiers)
