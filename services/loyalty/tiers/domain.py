"""Tiers by rolling spend: a pure function of what a customer spent, a programme version and an instant.

``qualified(t)`` is the highest tier whose threshold the spend of (t - window, t] reaches. A tier is kept for the
grace time after the spend fell below: ``held(t)`` is the highest qualified in (t - grace, t].
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from itertools import zip_longest

import msgspec

from services.loyalty.programmes.domain import Programme, Tier

Spend = tuple[datetime, int]
"""When an order was placed, and what stands of it in minor units of the programme's currency."""

Span = tuple[datetime, datetime]
"""From the first instant to before the second."""

NONE = -1


class Step(msgspec.Struct, frozen=True):
    """A crossing: from ``at`` on the tier is ``to``; None is no tier."""

    at: datetime
    to: str | None


class Standing(msgspec.Struct, frozen=True):
    """What a customer sees of his tier at an instant. Money in minor units.

    ``missing`` to ``next``, the tier above; ``projected``: the next change if nothing more is bought.
    """

    name: str
    since: datetime
    spend: int
    next: str | None
    missing: int
    projected: Step | None


class Ladder:
    """One customer's spends against a version's tiers, read in one pass when the first question comes."""

    def __init__(self, programme: Programme, spends: Sequence[Spend]) -> None:
        self._tiers = programme.tiers
        self._grace = programme.grace
        self._spends = spends
        self._total = sum(net for _, net in spends)

    @property
    def reaches_any(self) -> bool:
        """Whether the spends could have held a tier at any time: all of them together come to the lowest."""
        return bool(self._tiers) and self._total >= self._tiers[0].spend

    def at(self, at: datetime) -> str | None:
        """The name of the tier held at that instant."""
        return self._name(self._held(at))

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
        window = (above or self._tiers[rank]).window
        spend = sum(net for spent_at, net in self._spends if at - window < spent_at <= at)
        return Standing(
            name=self._tiers[rank].name,
            since=self._since(at, rank),
            spend=spend,
            next=above.name if above else None,
            missing=max(0, above.spend - spend) if above else 0,
            projected=self.next_step(at),
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
        # Spends are never negative: whoever spent less in all than a tier asks has never held it.
        return [
            list(_qualifying(self._spends, tier, self._grace)) if self._total >= tier.spend else []
            for tier in self._tiers
        ]

    @cached_property
    def _boundaries(self) -> list[datetime]:
        return sorted({instant for spans in self._spans for span in spans for instant in span})


def _qualifying(spends: Sequence[Spend], tier: Tier, grace: timedelta) -> Iterator[Span]:
    """When the spend of the window reaches the tier's threshold, and the grace time after it.

    A spend counts from its instant until a window later: it arrives once and leaves once.
    """
    changes = sorted([*spends, *((at + tier.window, -net) for at, net in spends)])
    sum_ = 0
    start = end = None
    for (at, net), following in zip_longest(changes, changes[1:]):
        sum_ += net
        if following is not None and following[0] == at:
            # What happens at one instant counts together.
            continue
        if sum_ >= tier.spend:
            if start is not None and end is not None and end < at:
                yield start, end
                start = None
            start, end = start or at, None
        elif start is not None and end is None:
            end = at + grace
    if start is not None and end is not None:
        yield start, end


def _start(span: Span) -> datetime:
    return span[0]


def reach(programme: Programme) -> timedelta:
    """How far back spends matter for what is held now."""
    return max((tier.window for tier in programme.tiers), default=timedelta()) + programme.grace
