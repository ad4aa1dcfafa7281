"""The house's key figures over a period, as the facts stand now."""

from dataclasses import dataclass
from datetime import date, datetime

from services.profile.counting.application import Counting
from services.profile.metrics import store
from services.profile.metrics.domain import Cell, Churn, Name, Products, Ratio, Sales, Satisfaction, Worst
from services.profile.metrics.store import Filters
from services.profile.periods import Period, period
from services.profile.policies.application import in_force
from services.profile.purchases.domain import House
from services.profile.reports.domain import Figures
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

    async def assumption(self, tx: Tx, name: Name) -> str | None:
        """What practice takes for granted of a figure: a sentence to hold what was measured against."""
        return await store.assumption(tx, name)

    async def retention(self, tx: Tx, asked: Period, of: Filters) -> Ratio:
        """Who of the last period's buyers bought in this one."""
        return await store.retention(tx, asked, of)

    async def repurchase(self, tx: Tx, asked: Period, of: Filters) -> Ratio:
        """Who bought on several days."""
        return await store.repurchase(tx, asked, of)

    async def referral(self, tx: Tx, asked: Period, of: Filters) -> Ratio:
        """Who of the new customers came by somebody's referral code."""
        return await store.referral(tx, asked, of)

    async def satisfaction(self, tx: Tx, asked: Period, of: Filters) -> Satisfaction:
        """What customers said."""
        return await store.satisfaction(tx, self._instants(asked), of)

    async def products(
        self, tx: Tx, asked: Period, of: Filters, *, sku: str | None = None, worst: Worst = "sold", limit: int = 1
    ) -> Products:
        """What came back, and of which products was complained."""
        return await store.products(tx, asked, self._instants(asked), of, sku, worst, limit)

    async def churn(self, tx: Tx, asked: Period, of: Filters) -> Churn:
        """Who was lost, under the policy of the life-cycle in force now."""
        return await store.churn(tx, asked, of, (await in_force(tx)).lifecycle)

    async def sales(self, tx: Tx, asked: Period, of: Filters) -> Sales:
        """What was sold."""
        return await store.sales(tx, asked, of)

    async def cohorts(self, tx: Tx, asked: Period, of: Filters) -> tuple[Ratio, list[Cell]]:
        """Who came again, by the month of his first order."""
        return await store.cohorts(tx, asked, of)

    async def figures(self, tx: Tx, name: Name, asked: Period, of: Filters) -> Figures:
        """A figure over a period, without what makes it up."""
        match name:
            case "retention":
                return (await self.retention(tx, asked, of)).figures
            case "repurchase":
                return (await self.repurchase(tx, asked, of)).figures
            case "referral":
                return (await self.referral(tx, asked, of)).figures
            case "churn":
                return (await self.churn(tx, asked, of)).ratio.figures
            case "satisfaction":
                return (await self.satisfaction(tx, asked, of)).ratio.figures
            case "sales":
                return (await self.sales(tx, asked, of)).figures(self.house.currency)
            case "products":
                return (await self.products(tx, asked, of)).figures
            case "cohorts":
                return (await self.cohorts(tx, asked, of))[0].figures

    def _instants(self, asked: Period) -> tuple[datetime, datetime]:
        return self.house.start_of(asked.since), self.house.start_of(asked.until)
