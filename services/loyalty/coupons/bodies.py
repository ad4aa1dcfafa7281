"""What a coupon is worth, as it is asked for: valid to the field."""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from services.loyalty.programmes.bodies import MoneyBody, Strict


def _some(percent: str) -> str:
    if not 0 < float(percent) <= 100:
        raise ValueError("more than 0 and not more than 100")
    return percent


Percent = Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,2})?$"), AfterValidator(_some)]


class CouponTerms(Strict):
    """Money or a percentage off an order, of at least ``min_spend``; good to the end of the day of the house that lies
    ``valid_days`` after the day of issue. ``bearer``: whoever has the code may use it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"example": {"discount": {"amount": "100.00", "currency": "TWD"}, "valid_days": 90}},
    )

    discount: MoneyBody | None = None
    percent: Percent | None = None
    valid_days: Annotated[int, Field(ge=0, le=3660)]
    min_spend: MoneyBody | None = None
    bearer: bool = False

    @model_validator(mode="after")
    def _one(self) -> "CouponTerms":
        if (self.discount is None) == (self.percent is None):
            raise ValueError("give either discount or percent")
        if self.discount and self.min_spend and self.discount.currency != self.min_spend.currency:
            raise ValueError("discount and min_spend are of one currency")
        return self

    def document(self) -> dict[str, Any]:
        """As it is kept: JSON, without what wasn't said."""
        return self.model_dump(mode="json", exclude_none=True)
