"""Writing down, when a month closes, what its figures were: a nightly job."""

from dataclasses import dataclass
from datetime import datetime

from services.profile.counting.application import Counting
from services.profile.metrics.application import Metrics
from services.profile.metrics.domain import DEFINITIONS, NAMES
from services.profile.reports.application import Reports
from services.profile.reports.domain import Figures
from shared.db import Database


@dataclass(frozen=True, slots=True)
class Reporting:
    """The work of the job, a month of a slice a transaction."""

    metrics: Metrics
    reports: Reports
    counting: Counting
    db: Database

    async def run(self, last: datetime | None) -> int:
        """Reports every month that closed since the job ran ``last`` (None: never) and any before it that wasn't
        reported; answers how many. All orders known by now are counted first."""
        if last is None:
            return 0
        await self.counting.catch_up()
        seen, today = (self.metrics.house.day(at) for at in (last, self.metrics.clock.now()))
        done = 0
        while True:
            async with self.db.transaction() as tx:
                month = await self.reports.unreported(tx, seen, today)
                slices = await self.reports.slices(tx, month) if month else []
            if month is None:
                return done
            # Everybody's come last: a month is reported when they are.
            for of in reversed(slices):
                async with self.db.transaction() as tx:
                    figures: dict[str, tuple[int, Figures]] = {
                        name: (DEFINITIONS[name][0], await self.metrics.figures(tx, name, month, of.filters))
                        for name in NAMES
                    }
                    await self.reports.report(tx, month, of, figures)
            done += 1
