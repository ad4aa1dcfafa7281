"""A backtest as it is asked for and told of over HTTP."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from services.loyalty.simulations.domain import Figures, Side, Sum, Trial
from services.loyalty.simulations.store import Backtest, State


class TriedView(BaseModel):
    """What was asked. ``version`` null: a version that was never posted."""

    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    version: int | None
    compare_to: int | Literal["as-is"]


class SumView(BaseModel):
    """Points before caps, after them, and what returns left."""

    wanted: int
    awarded: int
    after_returns: int


class RuleView(SumView):
    """Of a rule, or of ``base`` or ``tier``."""

    rule: str


class MonthView(SumView):
    """Of the orders of a calendar month of the house's zone."""

    month: str


class LiabilityView(BaseModel):
    """Points, of whichever order up to the period's end, that had neither gone back nor expired nor been used by then.
    What was used of an order's points is taken off either way. ``pending``: not to be used yet."""

    points: int
    pending: int
    available: int


class SideView(BaseModel):
    """One way of judging the period's orders; of a difference, what the trial has more than the comparison."""

    points: SumView
    rules: list[RuleView]
    months: list[MonthView]
    liability: LiabilityView


class MoveView(BaseModel):
    """So many hold which tier at the period's end: ``before`` by the comparison, ``after`` by the trial; null: none."""

    before: str | None
    after: str | None
    customers: int


class FoundView(BaseModel):
    """As of ``known_at``: what is heard of later isn't in it. ``customers`` and ``orders`` of the period; customers who
    are one person count once. ``not_applied``: pointers to what the tried version asks for and isn't in ``tried``:
    limits that all customers share hold only for orders that this version judged, as they did then."""

    known_at: datetime
    customers: int
    orders: int
    tried: SideView
    compared: SideView
    difference: SideView
    tiers: list[MoveView]
    not_applied: list[str]


class BacktestView(BaseModel):
    """How far it is: persons judged, of so many. ``error``: `interrupted` where its process ended before it did."""

    id: str
    state: State
    asked: TriedView
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    judged: int
    persons: int
    error: str | None
    result: FoundView | None


def backtest_view(backtest: Backtest) -> BacktestView:
    """As it is told."""
    trial = backtest.trial
    return BacktestView(
        id=backtest.simulation_id,
        state=backtest.state,
        asked=TriedView(
            since=trial.since, until=trial.until, version=trial.version, compare_to=trial.compare_to or "as-is"
        ),
        created_at=backtest.created_at,
        started_at=backtest.started_at,
        ended_at=backtest.ended_at,
        judged=backtest.done,
        persons=backtest.persons,
        error=backtest.error,
        result=_found(backtest.figures, trial, backtest.known_at) if backtest.figures and backtest.known_at else None,
    )


def _found(figures: Figures, trial: Trial, known_at: datetime) -> FoundView:
    tried, compared = figures.tried, figures.compared
    rules = sorted({*tried.rules, *compared.rules})
    months = sorted(figures.orders)
    sides = [_side(side, rules, months) for side in (tried, compared, _difference(tried, compared))]
    return FoundView(
        known_at=known_at,
        customers=figures.customers,
        orders=sum(figures.orders.values()),
        tried=sides[0],
        compared=sides[1],
        difference=sides[2],
        tiers=[
            MoveView(before=before or None, after=after or None, customers=n)
            for before, row in sorted(figures.tiers.items())
            for after, n in sorted(row.items())
        ],
        not_applied=list(trial.not_applied),
    )


def _side(side: Side, rules: Iterable[str], months: Iterable[str]) -> SideView:
    return SideView(
        points=SumView(**_sum(side.points)),
        rules=[RuleView(rule=rule, **_sum(side.rules.get(rule, Sum()))) for rule in rules],
        months=[MonthView(month=month, **_sum(side.months.get(month, Sum()))) for month in months],
        liability=LiabilityView(points=side.pending + side.available, pending=side.pending, available=side.available),
    )


def _difference(tried: Side, compared: Side) -> Side:
    return Side(
        points=_less(tried.points, compared.points),
        rules=_all_less(tried.rules, compared.rules),
        months=_all_less(tried.months, compared.months),
        pending=tried.pending - compared.pending,
        available=tried.available - compared.available,
    )


def _all_less(more: Mapping[str, Sum], less: Mapping[str, Sum]) -> dict[str, Sum]:
    return {name: _less(more.get(name, Sum()), less.get(name, Sum())) for name in {*more, *less}}


def _less(more: Sum, less: Sum) -> Sum:
    return Sum(more.wanted - less.wanted, more.awarded - less.awarded, more.kept - less.kept)


def _sum(sum_: Sum) -> dict[str, int]:
    return {"wanted": sum_.wanted, "awarded": sum_.awarded, "after_returns": sum_.kept}


_POINTS = {"wanted": 80, "awarded": 80, "after_returns": 80}
_SIDE: dict[str, Any] = {
    "points": _POINTS,
    "rules": [{"rule": "base", **_POINTS}],
    "months": [{"month": "2026-10", **_POINTS}],
    "liability": {"points": 80, "pending": 0, "available": 80},
}
_NOTHING: dict[str, Any] = {
    "points": dict.fromkeys(_POINTS, 0),
    "rules": [{"rule": "base", **dict.fromkeys(_POINTS, 0)}],
    "months": [{"month": "2026-10", **dict.fromkeys(_POINTS, 0)}],
    "liability": {"points": 0, "pending": 0, "available": 0},
}
BACKTEST: dict[str, Any] = {
    "id": "sim_0190c8e2",
    "state": "done",
    "asked": {
        "from": "2025-11-01T00:00:00+08:00", "to": "2026-11-01T00:00:00+08:00", "version": 2, "compare_to": "as-is"
    },
    "created_at": "2026-11-20T08:15:00Z",
    "started_at": "2026-11-20T08:15:01Z",
    "ended_at": "2026-11-20T08:15:02Z",
    "judged": 1,
    "persons": 1,
    "error": None,
    "result": {
        "known_at": "2026-11-20T08:15:01Z",
        "customers": 1,
        "orders": 1,
        "tried": _SIDE,
        "compared": _SIDE,
        "difference": _NOTHING,
        "tiers": [{"before": None, "after": "silver", "customers": 1}],
        "not_applied": [],
    },
}  # fmt: skip
WAITS: dict[str, Any] = {
    **BACKTEST, "state": "waiting", "started_at": None, "ended_at": None, "judged": 0, "persons": 0, "result": None
}  # fmt: skip
