"""The route of how a customer buys."""

from typing import Annotated, Any

from pydantic import BaseModel

from services.profile import examples
from services.profile.answers import MoneyView, PeriodView, TestedView, money_view, period_view, tested_view
from services.profile.customers.application import Customers
from services.profile.fields import CustomerInPath, FromDay, ToDay
from services.profile.identities.application import person
from services.profile.patterns.application import Patterns
from services.profile.patterns.domain import LEVEL, Comparison, Group, Pattern
from services.profile.periods import Period
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires
from shared.http.problems import invalid, not_found
from shared.http.routing import Router


class GroupView(BaseModel):
    """A category, or a channel: null is a line that names no category. An order counts in each of its categories."""

    name: str | None
    orders: int
    spend: MoneyView
    share: float | None
    average_basket: MoneyView | None


class PatternView(BaseModel):
    """A period's orders that stand, net of returns. ``days``: with a purchase, ``median_gap_days`` between them.
    ``weekdays`` (from Monday) and ``hours`` (from midnight, the house's clock) count orders."""

    orders: int
    days: int
    spend: MoneyView
    average_basket: MoneyView | None
    median_gap_days: float | None
    categories: list[GroupView]
    channels: list[GroupView]
    weekdays: list[int]
    hours: list[int]
    unconverted: list[MoneyView]


class ShiftView(BaseModel):
    """A category's share of the spend in both periods."""

    category: str | None
    before: float
    now: float
    change: float


class ComparisonView(BaseModel):
    """Against ``period``, the one before, of the same length. ``category_shift``: the greatest change first."""

    period: PeriodView
    before: PatternView
    level: float
    frequency: TestedView
    basket: TestedView
    categories: TestedView
    category_shift: list[ShiftView]


class PurchasePatternView(PatternView):
    """How a customer buys, and what has changed."""

    period: PeriodView
    comparison: ComparisonView


def patterns_router(patterns: Patterns, customers: Customers, db: Database) -> Router:
    """``GET /customers/{customer_id}/purchase-pattern``; a customer's own token may ask, too."""
    router = Router(tags=["purchases"])

    @router.get("/customers/{customer_id}/purchase-pattern", responses=examples.answer(_example()))
    async def read_pattern(
        who: Annotated[Principal, requires("profile:read")],
        customer_id: CustomerInPath,
        since: FromDay = None,
        until: ToDay = None,
    ) -> PurchasePatternView:
        """What, where and when a customer buys, and whether it differs from the period before by more than chance."""
        try:
            period = patterns.period(since, until)
        except ValueError as error:
            raise invalid("/query/from", str(error)) from error
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            if not await customers.exists(tx, asked.customer_id):
                raise not_found()
            told = await patterns.of(tx, asked.ids, period)
        currency = patterns.house.currency
        return PurchasePatternView(
            **_pattern(told.now, currency),
            period=period_view(period),
            comparison=_comparison(told.comparison, PatternView(**_pattern(told.before, currency)), period.before),
        )

    return router


def _pattern(told: Pattern, currency: str) -> dict[str, Any]:
    return {
        "orders": told.orders,
        "days": told.days,
        "spend": money_view(told.spend, currency),
        "average_basket": _basket(told.average_basket, currency),
        "median_gap_days": told.median_gap_days,
        "categories": [_group(group, currency) for group in told.categories],
        "channels": [_group(group, currency) for group in told.channels],
        "weekdays": list(told.weekdays),
        "hours": list(told.hours),
        "unconverted": [money_view(minor, code) for code, minor in told.unconverted.items()],
    }


def _comparison(told: Comparison, before: PatternView, period: Period) -> ComparisonView:
    return ComparisonView(
        period=period_view(period),
        before=before,
        level=LEVEL,
        frequency=tested_view(told.frequency),
        basket=tested_view(told.basket),
        categories=tested_view(told.categories),
        category_shift=[
            ShiftView(category=one.category, before=one.before, now=one.now, change=one.now - one.before)
            for one in told.shifts
        ],
    )


def _group(group: Group, currency: str) -> GroupView:
    return GroupView(
        name=group.name,
        orders=group.orders,
        spend=money_view(group.spend, currency),
        share=group.share,
        average_basket=_basket(group.average_basket, currency),
    )


def _basket(minor: int | None, currency: str) -> MoneyView | None:
    return None if minor is None else money_view(minor, currency)


def _example() -> dict[str, Any]:
    money = {"amount": "600.00", "currency": "TWD"}
    basket = {"amount": "300.00", "currency": "TWD"}
    group = {"name": "tea", "orders": 2, "spend": money, "share": 1.0, "average_basket": basket}
    pattern = {
        "orders": 2,
        "days": 2,
        "spend": money,
        "average_basket": basket,
        "median_gap_days": 14.0,
        "categories": [group],
        "channels": [{**group, "name": "store"}],
        "weekdays": [0, 0, 0, 0, 1, 1, 0],
        "hours": [0] * 10 + [2] + [0] * 13,
        "unconverted": [],
    }
    test = {"test": "conditional binomial, Przyborowski and Wilenski (1940)", "p_value": 1.0, "significant": False}
    comparison = {
        "period": {"from": "2026-05-25", "to": "2026-08-23"},
        "before": pattern,
        "level": LEVEL,
        "frequency": test,
        "basket": {"test": "rank sum, Mann and Whitney (1947)", "p_value": None, "significant": None},
        "categories": {**test, "test": "chi-squared test of homogeneity, Pearson (1900)"},
        "category_shift": [{"category": "tea", "before": 1.0, "now": 1.0, "change": 0.0}],
    }
    return {**pattern, "period": {"from": "2026-08-23", "to": "2026-11-21"}, "comparison": comparison}
