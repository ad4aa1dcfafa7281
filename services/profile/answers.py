"""What several of profile's answers are made of."""

from datetime import date

from pydantic import BaseModel, Field

from services.profile.patterns.domain import Tested
from services.profile.periods import Period
from shared.contracts.types import decimal_of


class MoneyView(BaseModel):
    """A decimal string in a currency of ISO 4217."""

    amount: str
    currency: str


class PeriodView(BaseModel):
    """Days of the house, ``from`` the first ``to`` the day after the last."""

    since: date = Field(alias="from")
    until: date = Field(alias="to")


class TestedView(BaseModel):
    """``p_value`` is null where there is too little to tell; below the level the difference is significant."""

    test: str
    p_value: float | None
    significant: bool | None


def money_view(minor: int, currency: str) -> MoneyView:
    """Minor units of a currency."""
    return MoneyView(amount=decimal_of(minor, currency), currency=currency)


def period_view(period: Period) -> PeriodView:
    """A period."""
    return PeriodView.model_validate({"from": period.since, "to": period.until})


def tested_view(one: Tested) -> TestedView:
    """A test as it is shown."""
    return TestedView(test=one.test, p_value=one.p_value, significant=one.significant)
