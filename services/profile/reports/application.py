"""Targets of key figures, and the figures of closed months as first reported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from services.profile.periods import Period
from services.profile.reports import store
from services.profile.reports.domain import EVERYBODY, Figures, Report, Slice, Target
from shared.clock import Clock
from shared.db import Tx


def month_of(day: date) -> Period:
    """The calendar month of a day."""
    first = day.replace(day=1)
    return Period(first, (first + timedelta(days=32)).replace(day=1))


@dataclass(frozen=True, slots=True)
class Reports:
    """The use cases of this module."""

    clock: Clock

    async def beside(self, tx: Tx, kpi: str, period: Period, of: Slice) -> tuple[Target | None, Report | None]:
        """What stands beside a figure: its target, and what was first reported of exactly this period and slice."""
        return await store.target(tx, kpi, period, of), await store.report(tx, kpi, period, of)

    async def unreported(self, tx: Tx, seen: date, today: date) -> Period | None:
        """The oldest closed month that wasn't reported; before any was, the one that was open on the day ``seen``: what
        closed before anybody looked was reported to nobody."""
        month = month_of(await store.reported_until(tx) or seen)
        return month if month.until <= today else None

    async def slices(self, tx: Tx, period: Period) -> list[Slice]:
        """Whose figures of a month are reported: everybody's, and those of segments and owners that have a target."""
        return [EVERYBODY, *await store.slices(tx, period)]

    async def report(self, tx: Tx, period: Period, of: Slice, figures: Mapping[str, tuple[int, Figures]]) -> None:
        """Keeps figures, each with the version of its definition, for good."""
        await store.keep(tx, period, of, figures, self.clock.now())

    async def targets(self, tx: Tx, kpi: str, after: tuple[date, date, str, str] | None, limit: int) -> list[Target]:
        """The targets of a figure by period, segment and owner, the newest version of each."""
        return await store.targets(tx, kpi, after, limit)

    async def aim(
        self, tx: Tx, kpi: str, period: Period, of: Slice, target: str, require: Callable[[int | None], None]
    ) -> Target:
        """The next version of a target; the same again is no new one. Raises what ``require`` raises."""
        await store.hold(tx, kpi)
        known = await store.target(tx, kpi, period, of)
        require(known.version if known else None)
        if known and known.target == target:
            return known
        version = known.version + 1 if known else 1
        aimed = Target(kpi, period.since, period.until, target, version, self.clock.now(), of.segment, of.owner)
        await store.add(tx, aimed)
        return aimed
