"""The numbers of each policy as a request carries them, with what bounds each alone."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.profile.patterns.changes import NEWEST_GAPS
from services.profile.policies.domain import Comparable, StrongKind
from shared.contracts.behaviour import ActivityKind
from shared.contracts.customers import Purpose

_DECIMAL = r"^(0|[1-9][0-9]{0,3})(\.[0-9]{1,6})?$"
_LEVEL = r"^0\.0{0,5}[1-9][0-9]{0,5}$"


def _decimal(text: str) -> str:
    if not re.fullmatch(_DECIMAL, text):
        raise ValueError('a decimal from 0 to 9999 in plain digits, as "1.25", with at most 6 places')
    return text


def _level(text: str) -> str:
    if not re.fullmatch(_LEVEL, text):
        raise ValueError('a probability above 0 and below 1 as a decimal, as "0.05"')
    return text


Days = Annotated[int, Field(ge=1, le=10_000)]
Score = Annotated[int, Field(ge=1, le=5)]
Few = Annotated[int, Field(ge=1, le=100)]
Points = Annotated[int, Field(ge=0, le=100)]
Money = Annotated[dict[Annotated[str, Field(pattern=r"^([A-Z]{3}|\*)$")], Annotated[int, Field(ge=0, le=10**12)]],
                  Field(max_length=200)]  # fmt: skip
Intent = Annotated[dict[ActivityKind, Annotated[int, Field(ge=0, le=100)]], Field(max_length=20)]
# The bounds are checked by what answers in words; the document shows them as a pattern.
Share = Annotated[str, AfterValidator(_decimal), Field(json_schema_extra={"pattern": _DECIMAL})]
Level = Annotated[str, AfterValidator(_level), Field(json_schema_extra={"pattern": _LEVEL})]

LIFECYCLE: dict[str, Any] = {
    "new_days": 90, "mature_days": 180, "mature_purchase_days": 6, "dormant_days": 90, "lost_days": 365,
    "returned_days": 90, "rhythm_purchase_days": 5, "dormant_gaps": 3, "lost_gaps": 6, "shortest_dormant_days": 30,
    "shortest_lost_days": 90,
}  # fmt: skip
VALUE: dict[str, Any] = {
    "monthly": {"*": 50, "TWD": 1500}, "quarterly": {"*": 150, "TWD": 4500}, "order": {"*": 40, "TWD": 1200},
    "volumes_reached": 2, "stable_purchase_days": 4, "stable_gap_days": 60, "expected": {"*": 50, "TWD": 1500},
    "intent": {"inquiry": 3, "add-to-cart": 2}, "intent_days": 30, "intent_reached": 3,
}  # fmt: skip
CLASS: dict[str, Any] = {"vip_recency": 3, "vip_frequency": 4, "vip_monetary": 4}
MERGING: dict[str, Any] = {"on": True, "kinds": ["email", "phone", "member-number", "card"]}
SIMILARITY: dict[str, Any] = {
    "weights": {"email": 60, "phone": 50, "messaging": 50, "post": 25, "name": 30, "birthday": 25},
    "other_birthday": 20, "suggest": 50, "similar": 80, "crowd": 5, "block": 20,
}  # fmt: skip
CONSENT: dict[str, Any] = {"granted_by_default": ["service"]}
RECOMMENDATIONS: dict[str, Any] = {
    "bought_within_days": 365, "not_again_within_days": 60, "together_at_least": 3, "lift_at_least": "1.2",
    "price_step_at_least": "0.10", "price_step_at_most": "1.00",
}  # fmt: skip
RHYTHM: dict[str, Any] = {
    "gaps_at_least": 6, "level": "0.01", "silent_days_at_least": 7, "silent_days_at_most": 400,
}  # fmt: skip
DEMAND: dict[str, Any] = {"days": 28, "level": "0.05", "orders_at_least": 20, "change_at_least": "0.2"}


class LifecycleNumbers(BaseModel):
    """When a customer changes stage: days of silence or of being a customer, purchase days, and gaps of his own rhythm,
    which holds from ``rhythm_purchase_days`` on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": LIFECYCLE})

    new_days: Days
    mature_days: Days
    mature_purchase_days: Days
    dormant_days: Days
    lost_days: Days
    returned_days: Days
    rhythm_purchase_days: Days
    dormant_gaps: Few
    lost_gaps: Few
    shortest_dormant_days: Days
    shortest_lost_days: Days


class ValueNumbers(BaseModel):
    """When a contribution is high and steady, and what a prospect may bring and means. Money in major units by
    currency, `*` for those not named."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": VALUE})

    monthly: Money
    quarterly: Money
    order: Money
    volumes_reached: Annotated[int, Field(ge=1, le=3)]
    stable_purchase_days: Days
    stable_gap_days: Days
    expected: Money
    intent: Intent
    intent_days: Days
    intent_reached: Few


class ClassNumbers(BaseModel):
    """The rfm scores, 1 to 5, that make a VIP, each at least. Who has bought and isn't one is regular."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": CLASS})

    vip_recency: Score
    vip_frequency: Score
    vip_monetary: Score


class MergingNumbers(BaseModel):
    """Whether two files that have a key of one of these kinds in common, verified in both, are joined by themselves."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": MERGING})

    on: bool
    kinds: Annotated[list[StrongKind], Field(max_length=4)]


class SimilarityNumbers(BaseModel):
    """The points that each field adds which agrees, and what birthdays that differ take off; from ``suggest`` points on
    a pair is shown. From ``similar`` per cent on names and addresses agree. An address that more than ``crowd`` have is
    no evidence; a name or birthday that more than ``block`` share finds nobody."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": SIMILARITY})

    weights: dict[Comparable, Points]
    other_birthday: Points
    suggest: Annotated[int, Field(ge=1, le=100)]
    similar: Annotated[int, Field(ge=50, le=100)]
    crowd: Annotated[int, Field(ge=2, le=100)]
    block: Annotated[int, Field(ge=2, le=100)]


class ConsentNumbers(BaseModel):
    """Purposes that need no consent where there is an address, unless the customer said no. For marketing that is
    lawful in few places."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": CONSENT})

    granted_by_default: Annotated[list[Purpose], Field(max_length=4)]


class RecommendationsNumbers(BaseModel):
    """What he bought and kept ``bought_within_days`` leads to others, what he bought ``not_again_within_days`` isn't
    offered. In so many baskets together, so many times as often as by chance (``lift_at_least``); the next price in a
    category lies between both steps, as shares of the price that he paid."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": RECOMMENDATIONS})

    bought_within_days: Days
    not_again_within_days: Annotated[int, Field(ge=0, le=10_000)]
    together_at_least: Annotated[int, Field(ge=1, le=1_000_000)]
    lift_at_least: Share
    price_step_at_least: Share
    price_step_at_most: Share


class RhythmNumbers(BaseModel):
    """So many gaps between purchase days make a customer's own rhythm; a silence of so many days or more breaks it
    where it is less probable than ``level``. Who is silent for longer than ``silent_days_at_most`` has long been
    lost."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": RHYTHM})

    gaps_at_least: Annotated[int, Field(ge=2, le=NEWEST_GAPS)]
    level: Level
    silent_days_at_least: Days
    silent_days_at_most: Days


class DemandNumbers(BaseModel):
    """Two periods of ``days``, whole weeks, are compared by category; one with fewer orders in both together isn't. A
    change is less probable than ``level``, all categories taken together, and by this share of what was before."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": DEMAND})

    days: Annotated[int, Field(ge=7, le=364, multiple_of=7)]
    level: Level
    orders_at_least: Annotated[int, Field(ge=1, le=1_000_000)]
    change_at_least: Share
