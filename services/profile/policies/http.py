"""The routes of the numbers that place customers: each PUT is a new version, in force at once."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from services.profile import examples
from services.profile.policies.domain import ClassPolicy, LifecyclePolicy, ValuePolicy
from services.profile.policies.shapes import numbers_of, version_of
from services.profile.segments import shapes
from services.profile.segments.policing import Name, Numbers, Policing
from shared.contracts.behaviour import ActivityKind
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.etags import Precondition, etag, if_match
from shared.http.routing import Router
from shared.service import Wake

Reader = Annotated[Principal, staff_only("profile:read")]
Writer = Annotated[Principal, staff_only("profile:write")]
Days = Annotated[int, Field(ge=1, le=10_000)]
Score = Annotated[int, Field(ge=1, le=5)]
Few = Annotated[int, Field(ge=1, le=100)]
Money = Annotated[dict[Annotated[str, Field(pattern=r"^([A-Z]{3}|\*)$")], Annotated[int, Field(ge=0, le=10**12)]],
                  Field(max_length=200)]  # fmt: skip
Intent = Annotated[dict[ActivityKind, Annotated[int, Field(ge=0, le=100)]], Field(max_length=20)]

_LIFECYCLE: dict[str, Any] = {
    "new_days": 90, "mature_days": 180, "mature_purchase_days": 6, "dormant_days": 90, "lost_days": 365,
    "returned_days": 90, "rhythm_purchase_days": 5, "dormant_gaps": 3, "lost_gaps": 6, "shortest_dormant_days": 30,
    "shortest_lost_days": 90,
}  # fmt: skip
_VALUE: dict[str, Any] = {
    "monthly": {"*": 50, "TWD": 1500}, "quarterly": {"*": 150, "TWD": 4500}, "order": {"*": 40, "TWD": 1200},
    "volumes_reached": 2, "stable_purchase_days": 4, "stable_gap_days": 60, "expected": {"*": 50, "TWD": 1500},
    "intent": {"inquiry": 3, "add-to-cart": 2}, "intent_days": 30, "intent_reached": 3,
}  # fmt: skip
_CLASS: dict[str, Any] = {"vip_recency": 3, "vip_frequency": 4, "vip_monetary": 4}
_WRITTEN = {"version": 2, "created_at": "2026-11-20T08:15:00Z"}
_ETAG = examples.etag("the policy")


class LifecycleNumbers(BaseModel):
    """When a customer changes stage: days of silence or of being a customer, purchase days, and gaps of his own rhythm,
    which holds from ``rhythm_purchase_days`` on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _LIFECYCLE})

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

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _VALUE})

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

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _CLASS})

    vip_recency: Score
    vip_frequency: Score
    vip_monetary: Score


class ClassVersion(BaseModel):
    """A version, since when."""

    version: int
    created_at: datetime
    numbers: ClassNumbers


class ClassPolicyView(BaseModel):
    """The versions, the newest first: that one is in force."""

    versions: list[ClassVersion]


class LifecycleVersion(BaseModel):
    """A version, since when."""

    version: int
    created_at: datetime
    numbers: LifecycleNumbers


class ValueVersion(BaseModel):
    """A version, since when."""

    version: int
    created_at: datetime
    numbers: ValueNumbers


class LifecyclePolicyView(BaseModel):
    """The versions, the newest first: that one is in force."""

    versions: list[LifecycleVersion]


class ValuePolicyView(BaseModel):
    """The versions, the newest first: that one is in force."""

    versions: list[ValueVersion]


def policies_router(policing: Policing, db: Database, wake: Wake) -> Router:
    """``GET|PUT /policies/lifecycle|value|class`` and ``POST …/preview``, for staff."""
    router = Router(tags=["policies"])
    lifecycle_example = {"versions": [{**_WRITTEN, "numbers": _LIFECYCLE}]}
    class_example = {"versions": [{**_WRITTEN, "numbers": _CLASS}]}
    value_example = {"versions": [{**_WRITTEN, "numbers": _VALUE}]}

    @router.get("/policies/lifecycle", responses=examples.answer(lifecycle_example, **_ETAG))
    async def read_lifecycle(_: Reader, response: Response) -> LifecyclePolicyView:
        """The numbers of the stages, and those before them."""
        return LifecyclePolicyView.model_validate(await versions("lifecycle", response))

    @router.put("/policies/lifecycle", responses=examples.answer(lifecycle_example, **_ETAG))
    async def put_lifecycle(
        _: Writer, match: Annotated[Precondition, if_match()], numbers: LifecycleNumbers, response: Response
    ) -> LifecyclePolicyView:
        """A new version, in force at once; everybody is placed again within minutes."""
        await change("lifecycle", numbers_of(numbers, LifecyclePolicy), match.require)
        return LifecyclePolicyView.model_validate(await versions("lifecycle", response))

    @router.post("/policies/lifecycle/preview", responses=examples.answer(shapes.PREVIEW))
    async def preview_lifecycle(_: Reader, numbers: LifecycleNumbers) -> shapes.PreviewView:
        """Who would move if these were the numbers. Writes nothing."""
        return shapes.preview_view(await policing.preview("lifecycle", numbers_of(numbers, LifecyclePolicy)))

    @router.get("/policies/value", responses=examples.answer(value_example, **_ETAG))
    async def read_value(_: Reader, response: Response) -> ValuePolicyView:
        """The numbers of the classes of value, and those before them."""
        return ValuePolicyView.model_validate(await versions("value", response))

    @router.put("/policies/value", responses=examples.answer(value_example, **_ETAG))
    async def put_value(
        _: Writer, match: Annotated[Precondition, if_match()], numbers: ValueNumbers, response: Response
    ) -> ValuePolicyView:
        """A new version, in force at once; everybody is placed again within minutes."""
        await change("value", numbers_of(numbers, ValuePolicy), match.require)
        return ValuePolicyView.model_validate(await versions("value", response))

    @router.post("/policies/value/preview", responses=examples.answer(shapes.PREVIEW))
    async def preview_value(_: Reader, numbers: ValueNumbers) -> shapes.PreviewView:
        """Who would move if these were the numbers. Writes nothing."""
        return shapes.preview_view(await policing.preview("value", numbers_of(numbers, ValuePolicy)))

    @router.get("/policies/class", responses=examples.answer(class_example, **_ETAG))
    async def read_class(_: Reader, response: Response) -> ClassPolicyView:
        """What makes a VIP, and what made one before."""
        return ClassPolicyView.model_validate(await versions("class", response))

    @router.put("/policies/class", responses=examples.answer(class_example, **_ETAG))
    async def put_class(
        _: Writer, match: Annotated[Precondition, if_match()], numbers: ClassNumbers, response: Response
    ) -> ClassPolicyView:
        """A new version, in force at once; everybody is placed again within minutes."""
        await change("class", numbers_of(numbers, ClassPolicy), match.require)
        return ClassPolicyView.model_validate(await versions("class", response))

    @router.post("/policies/class/preview", responses=examples.answer(shapes.PREVIEW))
    async def preview_class(_: Reader, numbers: ClassNumbers) -> shapes.PreviewView:
        """Who would move if these were the numbers. Writes nothing."""
        return shapes.preview_view(await policing.preview("class", numbers_of(numbers, ClassPolicy)))

    async def versions(name: Name, response: Response) -> dict[str, Any]:
        async with db.transaction() as tx:
            found = await policing.versions(tx, name)
        response.headers["ETag"] = etag(found[0][0].version)
        return {"versions": [version_of(numbers, at) for numbers, at in found]}

    async def change(name: Name, numbers: Numbers, require: Callable[[int], None]) -> None:
        async with db.transaction() as tx:
            await policing.change(tx, name, numbers, require)
        wake()

    return router
