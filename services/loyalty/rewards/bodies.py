"""A reward as it is posted and shown."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.loyalty.coupons.bodies import CouponTerms
from services.loyalty.programmes.bodies import MoneyBody, Name, Strict, Texts
from services.loyalty.programmes.fields import HoldoutBody
from services.loyalty.rewards import examples
from services.loyalty.rewards.domain import HANDED_OVER, Period, RefusalCode, Reward, Standing
from shared.contracts.rewards import RewardKind
from shared.contracts.types import PRINTABLE


def _in_our_time(at: datetime) -> datetime:
    if not 1970 <= at.year <= 2200:
        raise ValueError("between 1970 and 2200, please")
    return at


Segment = Annotated[str, Field(pattern=PRINTABLE.removesuffix(r"(?!\n)"))]
Moment = Annotated[AwareDatetime, AfterValidator(_in_our_time)]


class PerCustomer(Strict):
    """The most that one person may take in a calendar period of the house's zone, under all his ids."""

    count: Annotated[int, Field(ge=1, le=10_000)]
    per: Period


class Fulfilment(Strict):
    """Within how many days it is to be handed over."""

    due_days: Annotated[int, Field(ge=0, le=365)]


class RewardFields(BaseModel):
    """What a reward is. ``price`` is paid beside the points. ``stock``: all there ever was to give, what was taken
    among it; without it there is no end. ``tiers``: for those who hold one of them now, else for everybody;
    ``cost``: what one costs the house, in its currency, for `/effects`; to a customer's token it is null.
    ``segments``: for those who are in one of them, as profile names them, `regulars` or `lifecycle:active`. Offered
    from ``from`` up to before ``until``. ``coupon``: what who takes it gets a coupon for."""

    name: Name
    kind: RewardKind
    points: Annotated[int, Field(ge=0, le=10**9)]
    price: MoneyBody | None = None
    cost: MoneyBody | None = None
    stock: Annotated[int, Field(ge=0, le=10**9)] | None = None
    per_customer: PerCustomer | None = None
    tiers: Annotated[list[Name], Field(max_length=20)] = []
    segments: Annotated[list[Segment], Field(max_length=20)] = []
    since: Annotated[Moment | None, Field(alias="from")] = None
    until: Moment | None = None
    coupon: CouponTerms | None = None
    fulfilment: Fulfilment | None = None
    text: Texts = {}
    active: bool = True
    holdout: HoldoutBody | None = None


class RewardBody(RewardFields):
    """A reward as it is posted."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": examples.BODY})

    @model_validator(mode="after")
    def _fits(self) -> "RewardBody":
        if self.since and self.until and self.since >= self.until:
            raise ValueError("from is before until")
        if (self.kind == "coupon") and self.coupon is None:
            raise ValueError("a coupon needs to know what it is worth: give coupon")
        if self.coupon and self.kind not in ("coupon", "discount"):
            raise ValueError("only the kinds coupon and discount give a coupon")
        if self.fulfilment and self.kind not in HANDED_OVER:
            raise ValueError(f"only {', '.join(HANDED_OVER)} are handed over")
        return self

    def document(self) -> dict[str, Any]:
        """As it is kept: JSON, without what wasn't said."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class RewardView(RewardFields):
    """A reward as it stands. ``stock_left``: what of the stock nobody has, null without stock."""

    model_config = ConfigDict(json_schema_extra={"example": examples.REWARD})

    id: str
    version: int
    stock_left: int | None
    created_at: datetime


class RefusalView(BaseModel):
    """Why he can't: a stable code, and from when on that is no longer so, if time alone changes it."""

    code: RefusalCode
    detail: str
    earliest: datetime | None


class RewardStanding(BaseModel):
    """Whether a customer could take the reward now; if not, every reason, and the points that he lacks."""

    may_take: bool
    refusals: list[RefusalView]
    shortfall: int


class RewardOffer(RewardView):
    """A reward; ``customer`` where somebody was asked for."""

    model_config = ConfigDict(json_schema_extra={"example": examples.OFFER})

    customer: RewardStanding | None = None


def offered(reward: Reward, standing: Standing | None) -> RewardOffer:
    """A reward in a list, and how it stands to a person."""
    said = standing and {
        "may_take": standing.may_take,
        "refusals": [{"code": one.code, "detail": one.detail, "earliest": one.earliest} for one in standing.refusals],
        "shortfall": standing.shortfall,
    }
    return RewardOffer.model_validate({**shown(reward), "customer": said})


def view(reward: Reward) -> RewardView:
    """A reward as it is shown."""
    return RewardView.model_validate(shown(reward))


def shown(reward: Reward) -> dict[str, Any]:
    """The fields of a view."""
    limit, coupon = reward.limit, reward.coupon
    return {
        "id": reward.reward_id,
        "version": reward.version,
        "name": reward.name,
        "kind": reward.kind,
        "points": reward.points,
        "price": _money(reward.price),
        "cost": _money(reward.cost),
        "stock": reward.stock,
        "stock_left": reward.stock_left,
        "per_customer": {"count": limit.count, "per": limit.per} if limit else None,
        "tiers": list(reward.tiers),
        "segments": list(reward.segments),
        "from": reward.since,
        "until": reward.until,
        "coupon": coupon
        and {
            "discount": _money(coupon.discount),
            "percent": coupon.percent,
            "valid_days": coupon.valid_days,
            "min_spend": _money(coupon.min_spend),
            "bearer": coupon.bearer,
        },
        "fulfilment": None if reward.due_days is None else {"due_days": reward.due_days},
        "text": dict(reward.text),
        "active": reward.active,
        "holdout": {"percent": reward.holdout} if reward.holdout else None,
        "created_at": reward.created_at,
    }


def _money(money: Any) -> dict[str, str] | None:
    return money and {"amount": money.amount, "currency": money.currency}
