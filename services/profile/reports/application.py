"""Targets of key figures, and the figures of closed months as first reported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from services.profile.periods import Period
from services.profile.reports import store
from services.profile.reports.domain import Figures, Report, Target
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

    async def beside(self, tx: Tx, kpi: str, period: Period) -> tuple[Target | None, Report | None]:
        """What stands beside a figure: its target, and what was first reported of exactly this period."""
        return await store.target(tx, kpi, period), await store.report(tx, kpi, period)

    async def unreported(self, tx: Tx, seen: date, today: date) -> Period | None:
        """The oldest closed month that wasn't reported; before any was, the one that was open on the day ``seen``: what
        closed before anybody looked was reported to nobody."""
        month = month_of(await store.reported_until(tx) or seen)
        return month if month.until <= today else None

    async def report(self, tx: Tx, period: Period, figures: Mapping[str, tuple[int, Figures]]) -> None:
        """Keeps figures, each with the version of its definition, for good."""
        await store.keep(tx, period, figures, self.clock.now())

    async def targets(self, tx: Tx, kpi: str, after: tuple[date, date] | None, limit: int) -> list[Target]:
        """The targets of a figure by period, the newest version of each."""
        return await store.targets(tx, kpi, after, limit)

    async def aim(self, tx: Tx, kpi: str, period: Period, target: str, require: Callable[[int | None], None]) -> Target:
        """The next version of a target; the same again is no new one. Raises what ``require`` raises."""
        await store.hold(tx, kpi)
        known = await store.target(tx, kpi, period)
        require(known.version if known else None)
        if known and known.target == target:
            return known
        version = known.version + 1 if known else 1
        aimed = Target(kpi, period.since, period.until, target, version, self.clock.now())
        await store.add(tx, aimed)
        return aimed
