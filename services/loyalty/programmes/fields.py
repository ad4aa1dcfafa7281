"""What fields of a posted body are: checked as they are read."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.types import AMOUNT, Money


class Strict(BaseModel):
    """Unknown fields are refused: a rule that would be ignored is worse than one that is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _currency(code: str) -> str:
    if code not in MINOR_UNITS:
        raise ValueError("use an ISO 4217 code such as TWD")
    return code


def _sensible(amount: str) -> str:
    whole, _, fraction = amount.partition(".")
    if int(whole) < 1 or (whole == "1" and not int(fraction or "0")):
        raise ValueError("a factor is more than 1: the points beside the base")
    return amount


def _more_than_nothing(rate: str) -> str:
    if not rate.strip("0."):
        raise ValueError("a rate is more than 0")
    return rate


Currency = Annotated[str, AfterValidator(_currency)]
DecimalAmount = Annotated[str, Field(pattern=AMOUNT.removesuffix(r"(?!\n)"))]
Multiplier = Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,4})?$"), AfterValidator(_sensible)]
Rate = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$"), AfterValidator(_more_than_nothing)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:~-]{1,64}$")]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$")]
Names = Annotated[list[Name], Field(min_length=1, max_length=500)]
Texts = dict[Language, Annotated[str, Field(max_length=500)]]


class HoldoutBody(Strict):
    """Of how many percent of the customers it is kept from, always the same ones, to see what it brings."""

    percent: Annotated[int, Field(ge=1, le=50)]


class MoneyBody(Strict):
    """An amount of a currency."""

    amount: DecimalAmount
    currency: Currency

    @model_validator(mode="after")
    def _fits(self) -> "MoneyBody":
        if Money(amount=self.amount, currency=self.currency).minor == 0:
            raise ValueError("the amount must be more than 0")
        return self
