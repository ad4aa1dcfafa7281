"""A reward, and who may take it when."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.coupons.domain import Terms, read_terms
from shared.contracts.rewards import RewardKind
from shared.contracts.types import Money

Period = Literal["day", "week", "month", "year", "lifetime"]
RefusalCode = Literal[
    "reward-inactive", "not-yet", "over", "tier-required", "segment-required", "limit-reached", "out-of-stock",
    "hold-expired", "held-out",
]
HANDED_OVER: tuple[RewardKind, ...] = ("product", "gift", "service", "event-seat")
"""What somebody has to hand over, or do."""


class Limit(msgspec.Struct, frozen=True):
    """How often one person may take a reward in a calendar period of the house's zone."""

    count: int
    per: Period

    def since(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """When the period began that ``now`` lies in, in UTC; None: there was no beginning."""
        today = now.astimezone(zone).date()
        match self.per:
            case "day":
                first = today
            case "week":
                first = today - timedelta(days=today.weekday())
            case "month":
                first = today.replace(day=1)
            case "year":
                first = today.replace(month=1, day=1)
            case "lifetime":
                return None
        return datetime.combine(first, time(), zone).astimezone(UTC)


class Reward(msgspec.Struct, frozen=True):
    """A version of a reward. ``price`` is paid beside the points; ``due_days``: within which it is handed over.

    ``stock`` is all there ever was to give, ``stock_left`` what of it nobody has; both None where there is no end.
    ``since`` and ``until``: from then on, and up to before then. ``tiers``, ``segments``: any of them, or everybody.
    ``text``: by language. ``holdout``: it is kept from so many percent of the customers. ``cost``: what one costs the
    house, where that was said; staff's to see.
    """

    reward_id: str
    version: int
    name: str
    kind: RewardKind
    points: int
    price: Money | None
    active: bool
    stock: int | None
    stock_left: int | None
    limit: Limit | None
    tiers: Sequence[str]
    segments: Sequence[str]
    since: datetime | None
    until: datetime | None
    coupon: Terms | None
    due_days: int | None
    text: Mapping[str, str]
    created_at: datetime
    holdout: int = 0
    cost: Money | None = None

    @property
    def is_handed_over(self) -> bool:
        """Whether taking it leaves something to be done."""
        return self.kind in HANDED_OVER or self.due_days is not None

    def due_at(self, now: datetime) -> datetime | None:
        """When what is taken now is to have been handed over, if the reward says so."""
        return None if self.due_days is None else now + timedelta(days=self.due_days)


class Refusal(msgspec.Struct, frozen=True):
    """Why a reward can't be taken: a stable code and a sentence. ``earliest``: from when on that is no longer so, if
    time alone can change it; ``tiers``: those that may."""

    code: RefusalCode
    detail: str
    earliest: datetime | None = None
    tiers: Sequence[str] = ()


class Standing(msgspec.Struct, frozen=True):
    """How a reward stands to a person: everything that keeps him from it, and the points he lacks."""

    refusals: Sequence[Refusal]
    shortfall: int

    @property
    def may_take(self) -> bool:
        """Whether he could have it now."""
        return not self.refusals and not self.shortfall


class Refused(Exception):
    """A reward can't be taken."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class StockTaken(Exception):
    """There can't be fewer pieces of a reward than have been taken of it."""

    def __init__(self, taken: int) -> None:
        super().__init__(f"{taken} are taken")
        self.taken = taken


def refusal(
    reward: Reward, *, tier: str | None, in_segment: bool, taken_in_period: int, now: datetime, held_out: bool = False
) -> Refusal | None:
    """The first reason why somebody in this tier, in a segment that the reward asks for or not, who took so many in the
    limit's period, can't take it now; None: he can, if he has the points."""
    found = refusals(
        reward, tier=tier, in_segment=in_segment, taken_in_period=taken_in_period, now=now, held_out=held_out
    )
    return next(found, None)


def refusals(
    reward: Reward, *, tier: str | None, in_segment: bool, taken_in_period: int, now: datetime, held_out: bool = False
) -> Iterator[Refusal]:
    """Every reason, what he can change least first."""
    if not reward.active:
        yield NOT_OFFERED
    if held_out:
        yield HELD_OUT
    if reward.since is not None and now < reward.since:
        yield Refusal("not-yet", "This reward isn't offered yet.", earliest=reward.since)
    if reward.until is not None and now >= reward.until:
        yield Refusal("over", "This reward isn't offered any more.")
    if reward.tiers and tier not in reward.tiers:
        yield Refusal("tier-required", f"This reward is for {', '.join(reward.tiers)}.", tiers=reward.tiers)
    if reward.segments and not in_segment:
        yield Refusal("segment-required", "This reward is for certain customers.")
    if reward.limit is not None and taken_in_period >= reward.limit.count:
        yield Refusal("limit-reached", _limit(reward.limit))
    if reward.stock_left is not None and reward.stock_left <= 0:
        yield OUT_OF_STOCK


NOT_OFFERED = Refusal("reward-inactive", "This reward isn't offered.")
HELD_OUT = Refusal("held-out", "This reward is kept from this customer, to see what it brings with others.")
OUT_OF_STOCK = Refusal("out-of-stock", "Nothing of this reward is left.")
HOLD_EXPIRED = Refusal("hold-expired", "The hold has run out: what it kept is free again.")


def _limit(limit: Limit) -> str:
    often = f"{limit.count} in a {limit.per}" if limit.per != "lifetime" else f"{limit.count} in all"
    return f"Nobody may take more than {often} of this reward."


def read_reward(
    reward_id: str,
    version: int,
    created_at: datetime,
    stock: int | None,
    stock_left: int | None,
    body: Mapping[str, Any],
) -> Reward:
    """A reward of its body as it is kept, whose fields were checked when it came in."""
    limit, coupon, fulfilment = body.get("per_customer"), body.get("coupon"), body.get("fulfilment")
    return Reward(
        reward_id=reward_id,
        version=version,
        name=body["name"],
        kind=body["kind"],
        points=body["points"],
        price=Money(**body["price"]) if "price" in body else None,
        active=body["active"],
        stock=stock,
        stock_left=stock_left,
        limit=Limit(limit["count"], limit["per"]) if limit else None,
        tiers=tuple(body.get("tiers", ())),
        segments=tuple(body.get("segments", ())),
        since=_instant(body.get("from")),
        until=_instant(body.get("until")),
        coupon=read_terms(coupon) if coupon else None,
        due_days=fulfilment["due_days"] if fulfilment else None,
        text=body.get("text", {}),
        created_at=created_at,
        holdout=body.get("holdout", {}).get("percent", 0),
        cost=read_cost(body),
    )


def read_cost(body: Mapping[str, Any]) -> Money | None:
    """What one costs the house, of a reward's body as it is kept; None where it doesn't say."""
    return Money(**body["cost"]) if "cost" in body else None


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
