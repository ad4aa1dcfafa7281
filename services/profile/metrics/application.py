"""The house's key figures over a period, as the facts stand now."""

from dataclasses import dataclass
from datetime import date, datetime

from services.profile.counting.application import Counting
from services.profile.metrics import store
from services.profile.metrics.domain import Cell, Churn, Ratio, Sales
from services.profile.metrics.store import Filters
from services.profile.periods import Period, period
from services.profile.policies.application import in_force
from services.profile.purchases.domain import House
from shared.clock import Clock
from shared.db import Tx


@dataclass(frozen=True, slots=True)
class Metrics:
    """The reads of this module. ``of``: whose orders count; everybody's where it is empty."""

    counting: Counting
    house: House
    clock: Clock

    def period(self, since: date | None, until: date | None) -> Period:
        """The days asked for. Raises ValueError for none."""
        return period(since, until, self.house.day(self.clock.now()))

    async def as_of(self, tx: Tx) -> datetime | None:
        """How far the facts are counted."""
        return await self.counting.counted_at(tx)

    async def retention(self, tx: Tx, asked: Period, of: Filters) -> Ratio:
        """Who of the last period's buyers bought in this one."""
        return await store.retention(tx, asked, of)

    async def repurchase(self, tx: Tx, asked: Period, of: Filters) -> Ratio:
        """Who bought on several days."""
        return await store.repurchase(tx, asked, of)

    async def churn(self, tx: Tx, asked: Period, of: Filters) -> Churn:
        """Who was lost, under the policy of the life-cycle in force now."""
        return await store.churn(tx, asked, of, (await in_force(tx)).lifecycle)

    async def sales(self, tx: Tx, asked: Period, of: Filters) -> Sales:
        """What was sold."""
        return await store.sales(tx, asked, of)

    async def cohorts(self, tx: Tx, asked: Period, of: Filters) -> tuple[Ratio, list[Cell]]:
        """Who came again, by the month of his first order."""
        return await store.cohorts(tx, asked, of)
