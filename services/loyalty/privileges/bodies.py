"""The privileges that a tier may bring, as a programme version names them: each code with values of its own."""

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.types import AMOUNT, Money


def _a_share(percent: str) -> str:
    if not 0 < Decimal(percent) <= 100:
        raise ValueError("more than 0 and at most 100")
    return percent


def _currency(code: str) -> str:
    if code not in MINOR_UNITS:
        raise ValueError("use an ISO 4217 code such as TWD")
    return code


Percent = Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,2})?$"), AfterValidator(_a_share)]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$")]
Text = dict[Language, Annotated[str, Field(max_length=500)]]
ShownName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Bringing(BaseModel):
    """What every privilege may say: a text that a customer reads in place of ours, by language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Text | None = None


class Discount(Bringing):
    """So much off what he buys."""

    code: Literal["discount"]
    percent: Percent


class QuantityStep(BaseModel):
    """From so many pieces on, so much off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quantity: Annotated[int, Field(ge=2, le=1_000_000)]
    percent: Percent


class QuantitySteps(Bringing):
    """More off the more pieces; each step asks for more and gives more than the one before."""

    code: Literal["quantity-steps"]
    steps: Annotated[list[QuantityStep], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _rising(self) -> "QuantitySteps":
        for low, high in pairwise(self.steps):
            if high.quantity <= low.quantity or Decimal(high.percent) <= Decimal(low.percent):
                raise ValueError("each step asks for more pieces, and gives more, than the one before")
        return self


class FreeUpgrade(Bringing):
    """The better one at the price of the one he pays for; ``to``: which, such as express delivery."""

    code: Literal["free-upgrade"]
    to: ShownName | None = None


class EarlyAccess(Bringing):
    """Buys so many hours or days before everybody else."""

    code: Literal["early-access"]
    hours: Annotated[int | None, Field(ge=1, le=8760)] = None
    days: Annotated[int | None, Field(ge=1, le=365)] = None

    @model_validator(mode="after")
    def _one(self) -> "EarlyAccess":
        if (self.hours is None) == (self.days is None):
            raise ValueError("give either hours or days")
        return self


class PriorityPurchase(Bringing):
    """Served first where goods are short."""

    code: Literal["priority-purchase"]


class FreeShipping(Bringing):
    """Pays no delivery."""

    code: Literal["free-shipping"]


class Limit(BaseModel):
    """The most that may be owed at a time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: Annotated[str, Field(pattern=AMOUNT.removesuffix(r"(?!\n)"))]
    currency: Annotated[str, AfterValidator(_currency)]

    @model_validator(mode="after")
    def _fits(self) -> "Limit":
        if Money(amount=self.amount, currency=self.currency).minor == 0:
            raise ValueError("the amount must be more than 0")
        return self


class LongerCredit(Bringing):
    """Pays so many days after the invoice, up to a limit."""

    code: Literal["longer-credit"]
    days: Annotated[int, Field(ge=1, le=365)]
    limit: Limit


class DedicatedManager(Bringing):
    """Somebody of the house who looks after him."""

    code: Literal["dedicated-manager"]


class Trial(Bringing):
    """New versions to try, for so many days where it is said."""

    code: Literal["trial"]
    days: Annotated[int | None, Field(ge=1, le=365)] = None


class BirthdayGift(Bringing):
    """A reward of the catalogue, or points, on his birthday."""

    code: Literal["birthday-gift"]
    reward_id: Annotated[str | None, Field(pattern=r"^[\x21-\x7e]{1,128}$")] = None
    points: Annotated[int | None, Field(ge=1, le=1_000_000)] = None

    @model_validator(mode="after")
    def _one(self) -> "BirthdayGift":
        if (self.reward_id is None) == (self.points is None):
            raise ValueError("give either reward_id or points")
        return self


Privilege = Annotated[
    Discount
    | QuantitySteps
    | FreeUpgrade
    | EarlyAccess
    | PriorityPurchase
    | FreeShipping
    | LongerCredit
    | DedicatedManager
    | Trial
    | BirthdayGift,
    Field(discriminator="code"),
]
