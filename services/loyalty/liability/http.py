"""``GET /liability``."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.loyalty.liability import examples
from services.loyalty.liability.application import Liabilities, Liability
from services.loyalty.liability.domain import MIN_COHORTS, MIN_POINTS, Breakage, Line, total
from shared.clock import Clock
from shared.contracts.types import decimal_of
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.problems import invalid
from shared.http.routing import Router

_BEGIN, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
Moment = Annotated[AwareDatetime, Field(ge=_BEGIN, le=_END)]


class PointColumns(BaseModel):
    """opening + issued - used - expired - reversed + adjusted + compensation + transferred = closing."""

    opening: int
    issued: int
    used: int
    expired: int
    reversed: int
    adjusted: int
    compensation: int
    transferred: int
    closing: int


class MoneyColumns(BaseModel):
    """The same, each at what a point was worth by the version that issued it."""

    opening: str
    issued: str
    used: str
    expired: str
    reversed: str
    adjusted: str
    compensation: str
    transferred: str
    closing: str


class Totals(BaseModel):
    """Points and their money, null where some version that issued them says no value; and where the closing points are:
    ``pending`` + ``available`` + ``held`` - ``debt``."""

    points: PointColumns
    money: MoneyColumns | None
    pending: int
    available: int
    held: int
    debt: int


class MonthOfIssue(Totals):
    """The points of one month of issue, of the house's zone; null: owed for points that were never that person's."""

    issued_in: str | None


class AgeView(BaseModel):
    """Of points open in the month ``age`` after that of their issue, what was used and what expired in it, over the
    ``cohorts`` for which that month is over. ``carries``: there is enough to go by."""

    age: int
    open: int
    used: int
    expired: int
    cohorts: int
    carries: bool


class BreakageView(BaseModel):
    """Points expected to expire unused, of ``of_points`` of the closing ones: those of months of issue of which every
    age ahead carries. Null where there are none.

    Each age's shares used and expired are of all cohorts together, weighted by points, as the chain ladder takes its
    factors (Mack 1993), on what is open, with two ways out (Aalen and Johansen 1978).
    """

    points: int | None
    money: str | None
    of_points: int
    least_cohorts: int
    least_points: int
    ages: list[AgeView]


class LiabilityBody(BaseModel):
    """The roll-forward from the beginning of ``since`` to ``as_of``, by what was written down in it: what became known
    late counts in the month in which it did. So it is the same whenever it is asked for."""

    model_config = ConfigDict(json_schema_extra={"example": examples.LIABILITY})

    as_of: datetime
    since: str
    currency: str
    total: Totals
    months: list[MonthOfIssue]
    expected_breakage: BreakageView


def router(db: Database, clock: Clock, liabilities: Liabilities) -> Router:
    """``/liability``."""
    routes = Router(tags=["liability"])

    @routes.get("/liability", response_model=LiabilityBody)
    async def liability(
        principal: Annotated[Principal, staff_only("loyalty:read")],
        as_of: Annotated[Moment | None, Query(description="as it was written down then; by default now")] = None,
        since: Annotated[
            str | None,
            Query(pattern=r"^(19[7-9]|20\d|21\d)\d-(0[1-9]|1[0-2])$", description="a month; by default that of as_of"),
        ] = None,
    ) -> LiabilityBody:
        """What all customers have in points, and its worth, by the month of issue."""
        now = clock.now()
        if as_of is not None and as_of > now:
            raise invalid("/as_of", "that is still to come")
        at = as_of or now
        opened = date.fromisoformat(f"{since}-01") if since else liabilities.month_of(at)
        if opened > liabilities.month_of(at):
            raise invalid("/since", "that is after as_of")
        async with db.transaction() as tx:
            return _shown(await liabilities.liability(tx, at, opened))

    return routes


def _shown(liability: Liability) -> LiabilityBody:
    currency = liability.currency
    return LiabilityBody(
        as_of=liability.as_of,
        since=_name(liability.since),
        currency=currency,
        total=_totals(total(liability.lines), currency),
        months=[
            MonthOfIssue(issued_in=_name(line.issued) if line.issued else None, **dict(_totals(line, currency)))
            for line in liability.lines
        ],
        expected_breakage=_breakage(liability.breakage, currency),
    )


def _totals(line: Line, currency: str) -> Totals:
    return Totals(
        points=PointColumns.model_validate(line.points),
        money=_money_columns(line, currency),
        pending=line.places["pending"],
        available=line.places["available"],
        held=line.places["held"],
        debt=line.places["debt"],
    )


def _money_columns(line: Line, currency: str) -> MoneyColumns | None:
    if line.money is None:
        return None
    return MoneyColumns.model_validate({column: _signed(minor, currency) for column, minor in line.money.items()})


def _breakage(expected: Breakage, currency: str) -> BreakageView:
    return BreakageView(
        points=expected.points,
        money=None if expected.money is None else _signed(expected.money, currency),
        of_points=expected.of_points,
        least_cohorts=MIN_COHORTS,
        least_points=MIN_POINTS,
        ages=[
            AgeView(
                age=age.age, open=age.open, used=age.used, expired=age.expired, cohorts=age.cohorts,
                carries=age.carries,
            )
            for age in expected.ages
        ],
    )  # fmt: skip


def _signed(minor: int, currency: str) -> str:
    return f"-{decimal_of(-minor, currency)}" if minor < 0 else decimal_of(minor, currency)


def _name(month: date) -> str:
    return f"{month:%Y-%m}"
