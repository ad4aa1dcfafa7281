"""The figures as JSON: every one with what it is made of, and the words that say what it means."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec
from pydantic import BaseModel, Field

from services.profile.answers import MoneyView, PeriodView, money_view, period_view
from services.profile.metrics.domain import (
    DEFINITIONS,
    Cell,
    Churn,
    Name,
    Products,
    Ratio,
    Sales,
    Satisfaction,
    share,
)
from services.profile.periods import Period
from services.profile.reports.domain import Report, Target
from shared.contracts.orders import pieces


class TargetView(BaseModel):
    """What the figure was meant to become over this period, as a decimal: its ``value``, but of sales its numerator."""

    period: PeriodView
    segment: str | None
    owner: str | None
    target: str
    version: int
    set_at: datetime


class ReportView(BaseModel):
    """The figure as it stood when the month was closed, by the definition of then. Returns, late orders, merges and
    rates of exchange have changed it since."""

    numerator: int | str
    denominator: int | str
    value: float | None
    count: int
    definition_version: int
    reported_at: datetime


class KpiView(BaseModel):
    """``definition`` says what the figure means, under a version that changes with it. ``as_of``: when the orders were
    last counted; null before the first time. ``target`` and ``first_reported`` are of exactly this period, and null
    where the figure is of a segment or an owner."""

    kpi: Name
    definition_version: int
    definition: str
    period: PeriodView
    segment: str | None
    owner: str | None
    as_of: datetime | None
    target: TargetView | None
    first_reported: ReportView | None
    assumption: str | None = Field(description="What practice takes for granted; nothing that was measured here")


class RatioView(KpiView):
    """``value`` is numerator / denominator, null where nobody is in the denominator."""

    numerator: int
    denominator: int
    value: float | None
    count: int


class WeekView(BaseModel):
    """Customers won, won back and lost in the week that begins on this Monday."""

    week: date
    won: int
    won_back: int
    lost: int
    net: int


class ChurnView(RatioView):
    """``opening`` + won + won_back - lost = ``closing``."""

    opening: int
    closing: int
    weeks: list[WeekView]


class ForeignView(BaseModel):
    """Orders in a currency without a rate, net of returns."""

    orders: int
    net: MoneyView


class TopView(BaseModel):
    """The best 20 % of the buyers, rounded up, and the part of net that they bring."""

    buyers: int
    net: MoneyView
    share: float | None


class SalesView(KpiView):
    """``numerator``: net sales, a decimal string of ``currency``; ``value``: what an order brings, in major units."""

    numerator: str
    denominator: int
    value: float | None
    count: int
    currency: str
    orders: int
    buyers: int
    gross: MoneyView
    returned: MoneyView
    net: MoneyView
    returns_rate: float | None
    top: TopView
    unconverted: list[ForeignView]


class VoiceView(BaseModel):
    """Feedback of a kind; ``average`` of its ratings from 1 to 5."""

    kind: str
    count: int
    rated: int
    high: int
    low: int
    average: float | None


class SatisfactionView(RatioView):
    """``kinds``: complaint, inquiry, service-request, suggestion, praise, review, as far as there were any."""

    kinds: list[VoiceView]


class ProductRow(BaseModel):
    """A product over the period. ``return_rate`` of its pieces, ``complaint_rate`` of its orders."""

    sku: str
    orders: int
    sold: str
    returned: str
    return_rate: float | None
    complaints: int
    complaint_rate: float | None


class ProductsView(KpiView):
    """Pieces are decimal strings."""

    numerator: str
    denominator: str
    value: float | None
    count: int
    products: list[ProductRow]


class CohortCell(BaseModel):
    """``later`` months after the first; ``share``: of the cohort's persons."""

    later: int
    buyers: int
    share: float
    orders: int
    net: MoneyView


class CohortView(BaseModel):
    """Who bought for the first time in this month; months in which none of them bought are left out."""

    month: date
    persons: int
    months: list[CohortCell]


class CohortsView(RatioView):
    """A row a month of first orders."""

    cohorts: list[CohortView]


@dataclass(frozen=True, slots=True)
class Asked:
    """What every answer repeats of its question."""

    period: Period
    segment: str | None
    owner: str | None
    as_of: datetime | None
    target: Target | None = None
    report: Report | None = None
    assumption: str | None = None


def ratio_view(name: Name, asked: Asked, ratio: Ratio) -> RatioView:
    """A part of persons."""
    return RatioView(**_head(name, asked), **_ratio(ratio))


def churn_view(asked: Asked, churn: Churn) -> ChurnView:
    """Who was lost."""
    weeks = [
        WeekView(week=one.week, won=one.won, won_back=one.won_back, lost=one.lost, net=one.net) for one in churn.weeks
    ]
    return ChurnView(
        **_head("churn", asked), **_ratio(churn.ratio), opening=churn.opening, closing=churn.closing, weeks=weeks
    )


def satisfaction_view(asked: Asked, told: Satisfaction) -> SatisfactionView:
    """What customers said."""
    kinds = [
        VoiceView(
            kind=one.kind, count=one.count, rated=one.rated, high=one.high, low=one.low,
            average=share(one.stars, one.rated),
        )
        for one in told.kinds
    ]  # fmt: skip
    return SatisfactionView(**_head("satisfaction", asked), **_ratio(told.ratio), kinds=kinds)


def products_view(asked: Asked, told: Products) -> ProductsView:
    """What was sold and came back."""
    rows = [
        ProductRow(
            sku=one.sku,
            orders=one.orders,
            sold=pieces(one.sold),
            returned=pieces(one.returned),
            return_rate=share(one.returned, one.sold),
            complaints=one.complaints,
            complaint_rate=share(one.complaints, one.orders),
        )
        for one in told.items
    ]
    return ProductsView(**_head("products", asked), **msgspec.structs.asdict(told.figures), products=rows)


def target_view(target: Target) -> TargetView:
    """A target."""
    period = period_view(Period(target.since, target.until))
    return TargetView(
        period=period,
        segment=target.segment or None,
        owner=target.owner or None,
        target=target.target,
        version=target.version,
        set_at=target.set_at,
    )


def sales_view(asked: Asked, sales: Sales, currency: str) -> SalesView:
    """What was sold."""
    net = money_view(sales.net, currency)
    return SalesView(
        **_head("sales", asked),
        **msgspec.structs.asdict(sales.figures(currency)),
        currency=currency,
        orders=sales.orders,
        buyers=sales.buyers,
        gross=money_view(sales.gross, currency),
        returned=money_view(sales.gross - sales.net, currency),
        net=net,
        returns_rate=share(sales.gross - sales.net, sales.gross),
        top=TopView(
            buyers=sales.best, net=money_view(sales.best_net, currency), share=share(sales.best_net, sales.net)
        ),
        unconverted=[
            ForeignView(orders=orders, net=money_view(minor, code)) for code, orders, minor in sales.unconverted
        ],
    )


def cohorts_view(asked: Asked, ratio: Ratio, cells: list[Cell], currency: str) -> CohortsView:
    """The matrix."""
    months: dict[date, list[Cell]] = {}
    for cell in cells:
        months.setdefault(cell.month, []).append(cell)
    rows = [
        CohortView(
            month=month,
            persons=row[0].buyers,
            months=[
                CohortCell(
                    later=cell.later,
                    buyers=cell.buyers,
                    share=cell.buyers / row[0].buyers,
                    orders=cell.orders,
                    net=money_view(cell.net, currency),
                )
                for cell in row
            ],
        )
        for month, row in months.items()
    ]
    return CohortsView(**_head("cohorts", asked), **_ratio(ratio), cohorts=rows)


def _head(name: Name, asked: Asked) -> dict[str, Any]:
    version, definition = DEFINITIONS[name]
    return {
        "kpi": name,
        "definition_version": version,
        "definition": definition,
        "period": period_view(asked.period),
        "segment": asked.segment,
        "owner": asked.owner,
        "as_of": asked.as_of,
        "target": target_view(asked.target) if asked.target else None,
        "first_reported": _reported(asked.report) if asked.report else None,
        "assumption": asked.assumption,
    }


def _reported(report: Report) -> ReportView:
    return ReportView(
        **msgspec.structs.asdict(report.figures),
        definition_version=report.definition_version,
        reported_at=report.reported_at,
    )


def _ratio(ratio: Ratio) -> dict[str, Any]:
    return msgspec.structs.asdict(ratio.figures)
