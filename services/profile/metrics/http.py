"""The routes of the house's key figures."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from fastapi import Depends, Query

from services.profile import examples
from services.profile.fields import FromDay, Id, ToDay
from services.profile.metrics.application import Metrics
from services.profile.metrics.domain import DEFINITIONS, Name
from services.profile.metrics.shapes import (
    Asked,
    ChurnView,
    CohortsView,
    RatioView,
    SalesView,
    churn_view,
    cohorts_view,
    ratio_view,
    sales_view,
)
from shared.db import Database, Tx
from shared.http.auth import Principal, staff_only
from shared.http.problems import invalid
from shared.http.routing import Router

Reader = Annotated[Principal, staff_only("profile:read")]

_NET = {"amount": "1000.00", "currency": "TWD"}


@dataclass(frozen=True, slots=True)
class Question:
    """The query of a figure."""

    since: date | None
    until: date | None
    segment: str | None
    owner: str | None

    @property
    def of(self) -> dict[str, str]:
        """The filters."""
        given = {"segment": self.segment, "owner": self.owner}
        return {name: value for name, value in given.items() if value is not None}


async def _question(
    since: FromDay = None,
    until: ToDay = None,
    segment: Annotated[
        Id | None, Query(description="Only who is in it now: a segment of your own, or `lifecycle:mature`")
    ] = None,
    owner: Annotated[Id | None, Query(description="Only customers whose file names this owner")] = None,
) -> Question:
    return Question(since, until, segment, owner)


Asking = Annotated[Question, Depends(_question)]


def metrics_router(metrics: Metrics, db: Database) -> Router:
    """``GET /kpis/retention|repurchase|churn|sales|cohorts``, for staff."""
    router = Router(tags=["kpis"])

    @asynccontextmanager
    async def reading(question: Question) -> AsyncIterator[tuple[Tx, Asked, dict[str, str]]]:
        try:
            period = metrics.period(question.since, question.until)
        except ValueError as error:
            raise invalid("/query/from", str(error)) from error
        async with db.transaction() as tx:
            asked = Asked(period, question.segment, question.owner, await metrics.as_of(tx))
            yield tx, asked, question.of

    @router.get("/kpis/retention", responses=examples.answer(_example("retention")))
    async def read_retention(_: Reader, question: Asking) -> RatioView:
        """Who of the buyers of the period before bought in this one."""
        async with reading(question) as (tx, asked, of):
            return ratio_view("retention", asked, await metrics.retention(tx, asked.period, of))

    @router.get("/kpis/repurchase", responses=examples.answer(_example("repurchase")))
    async def read_repurchase(_: Reader, question: Asking) -> RatioView:
        """Who of the period's buyers bought on several days."""
        async with reading(question) as (tx, asked, of):
            return ratio_view("repurchase", asked, await metrics.repurchase(tx, asked.period, of))

    week = {"week": "2026-11-16", "won": 3, "won_back": 1, "lost": 2, "net": 2}
    churn_example = _example("churn", opening=4, closing=6, weeks=[week])

    @router.get("/kpis/churn", responses=examples.answer(churn_example))
    async def read_churn(_: Reader, question: Asking) -> ChurnView:
        """Who was lost, and week by week who was won, won back and lost."""
        async with reading(question) as (tx, asked, of):
            return churn_view(asked, await metrics.churn(tx, asked.period, of))

    @router.get("/kpis/sales", responses=examples.answer(_sales_example()))
    async def read_sales(_: Reader, question: Asking) -> SalesView:
        """What was sold net of returns, what came back, and what the best buyers bring."""
        async with reading(question) as (tx, asked, of):
            return sales_view(asked, await metrics.sales(tx, asked.period, of), metrics.house.currency)

    cell = {"later": 0, "buyers": 4, "share": 1.0, "orders": 5, "net": _NET}
    cohorts_example = _example("cohorts", cohorts=[{"month": "2026-11-01", "persons": 4, "months": [cell]}])

    @router.get("/kpis/cohorts", responses=examples.answer(cohorts_example))
    async def read_cohorts(_: Reader, question: Asking) -> CohortsView:
        """By the month of the first order: who bought again, and how many months later."""
        async with reading(question) as (tx, asked, of):
            ratio, cells = await metrics.cohorts(tx, asked.period, of)
            return cohorts_view(asked, ratio, cells, metrics.house.currency)

    return router


def _example(name: Name, **more: Any) -> dict[str, Any]:
    version, definition = DEFINITIONS[name]
    figures = {"numerator": 1, "denominator": 4, "value": 0.25, "count": 9}
    return {
        "kpi": name,
        "definition_version": version,
        "definition": definition,
        "period": {"from": "2026-08-23", "to": "2026-11-21"},
        "segment": None,
        "owner": None,
        "as_of": "2026-11-20T08:15:00Z",
        **figures,
        **more,
    }


def _sales_example() -> dict[str, Any]:
    return _example(
        "sales",
        numerator="1000.00",
        value=250.0,
        currency="TWD",
        orders=4,
        buyers=3,
        gross={"amount": "1250.00", "currency": "TWD"},
        returned={"amount": "250.00", "currency": "TWD"},
        net=_NET,
        returns_rate=0.2,
        top={"buyers": 1, "net": {"amount": "600.00", "currency": "TWD"}, "share": 0.6},
        unconverted=[{"orders": 1, "net": {"amount": "30.00", "currency": "USD"}}],
    )
