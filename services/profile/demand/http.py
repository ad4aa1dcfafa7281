"""The route of how the members of a segment buy."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, Field

from services.profile import examples
from services.profile.answers import MoneyView, PeriodView, TestedView, money_view, period_view, tested_view
from services.profile.demand.application import Demands
from services.profile.demand.domain import Change, Demand, Part, share
from services.profile.fields import FromDay, Id, ToDay
from services.profile.patterns.domain import LEVEL
from services.profile.segments.catalogue import OwnSegments
from services.profile.segments.classes import has_class
from services.profile.segments.domain import BUILT_IN, IN
from services.profile.segments.shapes import NAME
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.problems import invalid, not_found
from shared.http.routing import Router

_MONEY = {"amount": "125000.00", "currency": "TWD"}
_BEFORE = {
    "orders": 410, "buyers": 260, "orders_per_buyer": 1.577, "spend": _MONEY,
    "average_basket": {"amount": "304.88", "currency": "TWD"},
}  # fmt: skip
_TEST = {"test": "signed rank of members' orders, Wilcoxon (1945)", "p_value": 0.031, "significant": True}
_PART = {
    "name": "tea", "orders": 300, "share": 0.838, "orders_before": 290, "share_before": 0.707, "change": 0.131,
}  # fmt: skip
_EXAMPLE: dict[str, Any] = {
    "segment": "regulars", "class": "in", "members": 512, "as_of": "2026-11-20T08:15:00Z",
    "period": {"from": "2026-08-23", "to": "2026-11-21"},
    **_BEFORE, "orders": 358,
    "before": {"period": {"from": "2026-05-25", "to": "2026-08-23"}, **_BEFORE},
    "level": LEVEL, "frequency": _TEST,
    "basket": {"test": "signed rank of members' mean baskets, Wilcoxon (1945)", "p_value": 0.4, "significant": False},
    "category_mix": {
        "test": "randomisation of members' periods, Fisher (1935)", "p_value": 0.004, "significant": True,
    },
    "categories": [_PART], "channels": [{**_PART, "name": "store"}],
}  # fmt: skip


class DemandView(BaseModel):
    """Orders that stand, net of returns; ``average_basket`` is of those that have a rate."""

    orders: int
    buyers: int
    orders_per_buyer: float | None
    spend: MoneyView
    average_basket: MoneyView | None


class EarlierView(DemandView):
    """The period before, of the same length."""

    period: PeriodView


class PartView(BaseModel):
    """Orders with something kept of a category (null: of none), or by a channel, and their share in each period."""

    name: str | None
    orders: int
    share: float
    orders_before: int
    share_before: float
    change: float


class SegmentPatternView(DemandView):
    """How those who are in the class now buy. ``as_of``: when the orders were last counted; null before the first time.

    Tests are of members' differences between the periods. A ``p_value`` is null where there is too little to tell;
    below ``level`` the difference is significant. ``categories`` and ``channels``: the greatest change first.
    """

    segment: str
    place: str = Field(serialization_alias="class")
    members: int
    as_of: datetime | None
    period: PeriodView
    before: EarlierView
    level: float
    frequency: TestedView
    basket: TestedView
    category_mix: TestedView
    categories: list[PartView]
    channels: list[PartView]


def demand_router(demands: Demands, catalogue: OwnSegments, db: Database) -> Router:
    """``GET /segments/{name}/purchase-pattern``."""
    router = Router(tags=["segments"])

    @router.get("/segments/{name}/purchase-pattern", responses=examples.answer(_EXAMPLE))
    async def read_segment_pattern(
        _: Annotated[Principal, staff_only("profile:read")],
        name: Annotated[str, Path(pattern=NAME)],
        place: Annotated[
            Id | None, Query(alias="class", description="Of a built-in segment, such as `dormant` or `5-2-1`")
        ] = None,
        since: FromDay = None,
        until: ToDay = None,
    ) -> SegmentPatternView:
        """How often, how much at a time and of what the members of a segment buy, and whether it differs from the
        period before by more than chance, member by member. Members are who is in it now; restricted files are left
        out."""
        if place is None and name in BUILT_IN:
            raise invalid("/query/class", "A built-in segment has members by class.")
        try:
            period = demands.period(since, until)
        except ValueError as error:
            raise invalid("/query/from", str(error)) from error
        async with db.transaction() as tx:
            if name not in BUILT_IN and await catalogue.find(tx, name) is None:
                raise not_found()
            if not has_class(name, place or IN):
                raise invalid("/query/class", "The segment has no such class.")
            as_of = await demands.as_of(tx)
            counted = await demands.counted(tx, name, place or IN, period)
        told = await demands.compared(counted)
        currency = demands.house.currency
        return SegmentPatternView(
            **_demand(told.now, currency),
            segment=name,
            place=place or IN,
            members=counted.members,
            as_of=as_of,
            period=period_view(period),
            before=EarlierView(**_demand(told.before, currency), period=period_view(period.before)),
            level=LEVEL,
            frequency=tested_view(told.frequency),
            basket=tested_view(told.basket),
            category_mix=tested_view(told.category),
            categories=[_part(part, told) for part in told.categories],
            channels=[_part(part, told) for part in told.channels],
        )

    return router


def _demand(told: Demand, currency: str) -> dict[str, Any]:
    basket = told.average_basket
    return {
        "orders": told.orders,
        "buyers": told.buyers,
        "orders_per_buyer": told.orders / told.buyers if told.buyers else None,
        "spend": money_view(told.spend, currency),
        "average_basket": None if basket is None else money_view(basket, currency),
    }


def _part(part: Part, told: Change) -> PartView:
    now, before = share(part.now, told.now.orders), share(part.before, told.before.orders)
    return PartView(
        name=part.name or None,
        orders=part.now,
        share=now,
        orders_before=part.before,
        share_before=before,
        change=now - before,
    )
