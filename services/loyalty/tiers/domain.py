"""Tiers by rolling spend: a pure function of what a customer spent, a programme version and an instant.

``qualified(t)`` is the highest tier whose threshold the spend of (t - window, t] reaches. A tier is kept for the
grace time after the spend fell below: ``held(t)`` is the highest qualified in (t - grace, t].
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate

import msgspec

from services.loyalty.programmes.domain import Programme

Spend = tuple[datetime, int]
"""When an order was placed, and what stands of it in minor units of the programme's currency."""

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
    """One customer's spends against a version's tiers. Each question costs O(spends x log spends) at most."""

    def __init__(self, programme: Programme, spends: Sequence[Spend]) -> None:
        self._tiers = programme.tiers
        self._grace = programme.grace
        self._times = sorted(at for at, _ in spends)
        self._sums = [0, *accumulate(net for _, net in sorted(spends))]
        self._points: list[datetime] | None = None
        self._ranks: list[int] = []

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
        if not self._can_reach():
            return None
        held = self._held(after)
        changes = self._changes()
        for at in changes[bisect_right(changes, after) :]:
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
        spend = self._spent(at - window, at)
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
        changes = self._changes()
        since = at
        for point in reversed(changes[: bisect_right(changes, at)]):
            if self._held(point) != rank:
                break
            since = point
        return since

    def _can_reach(self) -> bool:
        # Spends are never negative: whoever spent less in all than the lowest tier asks has never held one.
        return bool(self._tiers) and self._sums[-1] >= self._tiers[0].spend

    def _held(self, at: datetime) -> int:
        if not self._can_reach():
            return NONE
        if not self._grace:
            return self._qualified(at)
        start = at - self._grace
        changes = self._changes()
        between = self._ranks[bisect_right(changes, start) : bisect_right(changes, at)]
        return max(self._qualified(start), self._qualified(at), *between)

    def _qualified(self, at: datetime) -> int:
        for rank in range(len(self._tiers) - 1, NONE, -1):
            tier = self._tiers[rank]
            if self._spent(at - tier.window, at) >= tier.spend:
                return rank
        return NONE

    def _spent(self, after: datetime, until: datetime) -> int:
        return self._sums[bisect_right(self._times, until)] - self._sums[bisect_right(self._times, after)]

    def _changes(self) -> list[datetime]:
        if self._points is None:
            spans = {timedelta(), *(tier.window for tier in self._tiers)}
            spans |= {span + self._grace for span in spans}
            self._points = sorted({at + span for at in self._times for span in spans})
            self._ranks = [self._qualified(at) for at in self._points]
        return self._points


def reach(programme: Programme) -> timedelta:
    """How far back spends matter for what is held now."""
    return max((tier.window for tier in programme.tiers), default=timedelta()) + programme.grace
