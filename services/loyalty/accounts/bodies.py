"""An account as it is shown: its points, and the tier that its customer holds."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from services.loyalty.accounts import examples
from services.loyalty.accounts.application import AccountView
from services.loyalty.tiers.domain import Standing
from shared.contracts.types import decimal_of


class MoneyView(BaseModel):
    """An amount of a currency."""

    amount: str
    currency: str


class MeasureView(BaseModel):
    """Something that a tier asks for: spend in minor units, points, orders, or whole days of tenure."""

    measure: str
    reached: int
    asked: int
    missing: int


class Progress(BaseModel):
    """What was spent within the window, and what is missing to the next tier; null at the top. ``measures``: all that
    the next tier asks for, or at the top what the held one does."""

    spend: MoneyView
    next: str | None
    missing: MoneyView | None
    measures: list[MeasureView] = []


class Projection(BaseModel):
    """The next change of tier if nothing more is bought; null is no tier."""

    name: str | None
    at: datetime


class TierView(BaseModel):
    """The tier held now. ``projected`` is null where it will never change by itself."""

    name: str
    since: datetime
    progress: Progress
    projected: Projection | None


class Expiring(BaseModel):
    """The next points to expire."""

    next_at: datetime | None
    points: int


class AccountBody(BaseModel):
    """A loyalty account now. ``lifetime_earned``: everything ever awarded, less reversals.

    ``merged_into``: the id that answers for this one. Whichever is asked for, the answer is of all ids together.
    """

    model_config = ConfigDict(json_schema_extra={"example": examples.ACCOUNT})

    customer_id: str
    merged_into: str | None = None
    available: int
    pending: int
    held: int
    debt: int
    lifetime_earned: int
    tier: TierView | None
    expiring: Expiring


def account_body(customer_id: str, survivor: str, view: AccountView) -> AccountBody:
    """An account as it is shown under this id."""
    balance = view.balance
    return AccountBody(
        customer_id=customer_id,
        merged_into=None if survivor == customer_id else survivor,
        available=balance.available,
        pending=balance.pending,
        held=balance.held,
        debt=balance.debt,
        lifetime_earned=balance.lifetime_earned,
        tier=_tier(view.standing, view.currency) if view.standing else None,
        expiring=Expiring(next_at=balance.next_at, points=balance.expiring),
    )


def _tier(standing: Standing, currency: str) -> TierView:
    projected = standing.projected
    return TierView(
        name=standing.name,
        since=standing.since,
        progress=Progress(
            spend=_money(standing.spend, currency),
            next=standing.next,
            missing=_money(standing.missing, currency) if standing.next else None,
            measures=[
                MeasureView(measure=one.measure, reached=one.reached, asked=one.asked, missing=one.missing)
                for one in standing.measured
            ],
        ),
        projected=Projection(name=projected.to, at=projected.at) if projected else None,
    )


def _money(minor: int, currency: str) -> MoneyView:
    return MoneyView(amount=decimal_of(minor, currency), currency=currency)
