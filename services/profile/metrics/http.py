"""The routes of the house's key figures."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from services.profile import examples
from services.profile.fields import Day, FromDay, Id, ToDay
from services.profile.metrics.application import Metrics
from services.profile.metrics.domain import DEFINITIONS, Name, Worst
from services.profile.metrics.shapes import (
    Asked,
    ChurnView,
    CohortsView,
    ProductsView,
    RatioView,
    SalesView,
    SatisfactionView,
    TargetView,
    churn_view,
    cohorts_view,
    products_view,
    ratio_view,
    sales_view,
    satisfaction_view,
    target_view,
)
from services.profile.periods import Period
from services.profile.reports.application import Reports
from services.profile.reports.domain import Slice
from services.profile.segments.catalogue import there_is
from shared.db import Database, Tx
from shared.http.auth import Principal, staff_only
from shared.http.etags import Precondition, etag, if_match_or_new, require_or_new
from shared.http.pagination import Page, PageRequest
from shared.http.problems import invalid
from shared.http.routing import Router

Reader = Annotated[Principal, staff_only("profile:read")]

_TARGET: dict[str, Any] = {
    "period": {"from": "2026-11-01", "to": "2026-12-01"},
    "segment": None,
    "owner": "staff:7",
    "target": "0.45",
    "version": 1,
    "set_at": "2026-10-20T08:15:00Z",
}
_ETAG = examples.etag("the target")
_NET = {"amount": "1000.00", "currency": "TWD"}


class Aim(BaseModel):
    """A decimal: of sales the net sales in major units of the house's currency, of the others their ``value``."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"target": "0.45"}})

    target: Annotated[str, Field(pattern=r"^[0-9]{1,15}(\.[0-9]{1,6})?$")]


@dataclass(frozen=True, slots=True)
class Question:
    """The query of a figure."""

    since: date | None
    until: date | None
    segment: str | None
    owner: str | None

    @property
    def of(self) -> Slice:
        """Whose orders count."""
        return Slice(self.segment or "", self.owner or "")


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


def metrics_router(metrics: Metrics, reports: Reports, db: Database) -> Router:
    """``GET /kpis/<name>`` and ``GET|PUT /kpis/{name}/targets``, for staff."""
    router = Router(tags=["kpis"])

    @asynccontextmanager
    async def reading(name: Name, question: Question) -> AsyncIterator[tuple[Tx, Asked, dict[str, str]]]:
        try:
            period = metrics.period(question.since, question.until)
        except ValueError as error:
            raise invalid("/query/from", str(error)) from error
        async with db.transaction() as tx:
            await _check(tx, question.segment)
            beside = await reports.beside(tx, name, period, question.of)
            said = await metrics.assumption(tx, name)
            asked = Asked(period, question.segment, question.owner, await metrics.as_of(tx), *beside, said)
            yield tx, asked, question.of.filters

    @router.get("/kpis/retention", responses=examples.answer(_example("retention")))
    async def read_retention(_: Reader, question: Asking) -> RatioView:
        """Who of the buyers of the period before bought in this one."""
        async with reading("retention", question) as (tx, asked, of):
            return ratio_view("retention", asked, await metrics.retention(tx, asked.period, of))

    @router.get("/kpis/repurchase", responses=examples.answer(_example("repurchase")))
    async def read_repurchase(_: Reader, question: Asking) -> RatioView:
        """Who of the period's buyers bought on several days."""
        async with reading("repurchase", question) as (tx, asked, of):
            return ratio_view("repurchase", asked, await metrics.repurchase(tx, asked.period, of))

    @router.get("/kpis/referral", responses=examples.answer(_example("referral")))
    async def read_referral(_: Reader, question: Asking) -> RatioView:
        """Who of the new customers came by somebody's referral code."""
        async with reading("referral", question) as (tx, asked, of):
            return ratio_view("referral", asked, await metrics.referral(tx, asked.period, of))

    voice = {"kind": "review", "count": 9, "rated": 4, "high": 1, "low": 2, "average": 2.75}

    @router.get("/kpis/satisfaction", responses=examples.answer(_example("satisfaction", kinds=[voice])))
    async def read_satisfaction(_: Reader, question: Asking) -> SatisfactionView:
        """How content those are who gave a rating, by the kind of their feedback."""
        async with reading("satisfaction", question) as (tx, asked, of):
            return satisfaction_view(asked, await metrics.satisfaction(tx, asked.period, of))

    @router.get("/kpis/products", responses=examples.answer(_products_example()))
    async def read_products(
        _: Reader,
        question: Asking,
        sku: Annotated[Id | None, Query(description="Only this product")] = None,
        worst: Annotated[Worst, Query(alias="order", description="The highest first")] = "sold",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> ProductsView:
        """What came back of each product, and how often it was complained of."""
        async with reading("products", question) as (tx, asked, of):
            found = await metrics.products(tx, asked.period, of, sku=sku, worst=worst, limit=limit)
            return products_view(asked, found)

    week = {"week": "2026-11-16", "won": 3, "won_back": 1, "lost": 2, "net": 2}
    churn_example = _example("churn", opening=4, closing=6, weeks=[week])

    @router.get("/kpis/churn", responses=examples.answer(churn_example))
    async def read_churn(_: Reader, question: Asking) -> ChurnView:
        """Who was lost, and week by week who was won, won back and lost."""
        async with reading("churn", question) as (tx, asked, of):
            return churn_view(asked, await metrics.churn(tx, asked.period, of))

    @router.get("/kpis/sales", responses=examples.answer(_sales_example()))
    async def read_sales(_: Reader, question: Asking) -> SalesView:
        """What was sold net of returns, what came back, and what the best buyers bring."""
        async with reading("sales", question) as (tx, asked, of):
            return sales_view(asked, await metrics.sales(tx, asked.period, of), metrics.house.currency)

    cell = {"later": 0, "buyers": 4, "share": 1.0, "orders": 5, "net": _NET}
    cohorts_example = _example("cohorts", cohorts=[{"month": "2026-11-01", "persons": 4, "months": [cell]}])

    @router.get("/kpis/cohorts", responses=examples.answer(cohorts_example))
    async def read_cohorts(_: Reader, question: Asking) -> CohortsView:
        """By the month of the first order: who bought again, and how many months later."""
        async with reading("cohorts", question) as (tx, asked, of):
            ratio, cells = await metrics.cohorts(tx, asked.period, of)
            return cohorts_view(asked, ratio, cells, metrics.house.currency)

    @router.get("/kpis/{name}/targets", responses=examples.answer({"items": [_TARGET], "next_cursor": None}))
    async def list_targets(_: Reader, name: Name, paging: PageRequest) -> Page[TargetView]:
        """What a figure is meant to become, by period, segment and owner."""
        after = paging.after(tuple[date, date, str, str])
        async with db.transaction() as tx:
            found = await reports.targets(tx, name, after, paging.limit + 1)
        cursor = paging.next_cursor(found, lambda one: (one.since, one.until, one.segment, one.owner))
        return Page(items=[target_view(one) for one in found[: paging.limit]], next_cursor=cursor)

    @router.put("/kpis/{name}/targets", responses=examples.answer(_TARGET, **_ETAG))
    async def put_target(
        _: Annotated[Principal, staff_only("profile:write")],
        name: Name,
        since: Annotated[Day, Query(alias="from", description="The first day of the period")],
        until: Annotated[Day, Query(alias="to", description="The day after its last")],
        match: Annotated[Precondition | None, if_match_or_new()],
        aim: Aim,
        response: Response,
        segment: Annotated[Id | None, Query(description="Of who is in it alone")] = None,
        owner: Annotated[Id | None, Query(description="Of this owner's customers alone")] = None,
    ) -> TargetView:
        """Sets what a figure is meant to become over a period; another target for it needs If-Match.

        Of a segment or an owner who has any target for a calendar month the figures are kept as first reported, too.
        """
        if since >= until:
            raise invalid("/query/from", "from is a day before to")

        required = partial(require_or_new, match)
        async with db.transaction() as tx:
            await _check(tx, segment)
            of = Slice(segment or "", owner or "")
            target = await reports.aim(tx, name, Period(since, until), of, aim.target, required)
        response.headers["ETag"] = etag(target.version)
        return target_view(target)

    return router


async def _check(tx: Tx, segment: str | None) -> None:
    if segment is not None and not await there_is(tx, segment):
        raise invalid("/query/segment", "There is no such segment; a class of a built-in one is `lifecycle:mature`.")


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
        "target": None,
        "first_reported": None,
        "assumption": None,
        **figures,
        **more,
    }


def _products_example() -> dict[str, Any]:
    row = {"sku": "tea-1", "orders": 9, "sold": "4", "returned": "1", "return_rate": 0.25, "complaints": 0}
    return _example("products", numerator="1", denominator="4", products=[{**row, "complaint_rate": 0.0}])


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
