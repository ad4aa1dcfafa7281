"""The routes of the policies ``merging`` and ``similarity``: each PUT is a new version, in force at once."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from services.profile import examples
from services.profile.duplicates.rules import Name, Numbers, Rules
from services.profile.policies.domain import Comparable, MergingPolicy, SimilarityPolicy, StrongKind
from services.profile.policies.shapes import numbers_of, version_of
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.etags import Precondition, etag, if_match
from shared.http.routing import Router

Reader = Annotated[Principal, staff_only("profile:read")]
Writer = Annotated[Principal, staff_only("profile:write")]
Points = Annotated[int, Field(ge=0, le=100)]

_MERGING: dict[str, Any] = {"on": True, "kinds": ["email", "phone", "member-number", "card"]}
_SIMILARITY: dict[str, Any] = {
    "weights": {"email": 60, "phone": 50, "messaging": 50, "post": 25, "name": 30, "birthday": 25},
    "other_birthday": 20, "suggest": 50, "similar": 80, "crowd": 5, "block": 20,
}  # fmt: skip
_WRITTEN = {"version": 1, "created_at": "2026-11-20T08:15:00Z"}
_ETAG = examples.etag("the policy")


class MergingNumbers(BaseModel):
    """Whether two files that have a key of one of these kinds in common, verified in both, are joined by themselves."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _MERGING})

    on: bool
    kinds: Annotated[list[StrongKind], Field(max_length=4)]


class SimilarityNumbers(BaseModel):
    """The points that each field adds which agrees, and what birthdays that differ take off; from ``suggest`` points on
    a pair is shown. From ``similar`` per cent on names and addresses agree. An address that more than ``crowd`` have is
    no evidence; a name or birthday that more than ``block`` share finds nobody."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _SIMILARITY})

    weights: dict[Comparable, Points]
    other_birthday: Points
    suggest: Annotated[int, Field(ge=1, le=100)]
    similar: Annotated[int, Field(ge=50, le=100)]
    crowd: Annotated[int, Field(ge=2, le=100)]
    block: Annotated[int, Field(ge=2, le=100)]


class MergingVersion(BaseModel):
    """A version, since when."""

    version: int
    created_at: datetime
    numbers: MergingNumbers


class SimilarityVersion(BaseModel):
    """A version, since when."""

    version: int
    created_at: datetime
    numbers: SimilarityNumbers


class MergingPolicyView(BaseModel):
    """The versions, the newest first: that one is in force."""

    versions: list[MergingVersion]


class SimilarityPolicyView(BaseModel):
    """The versions, the newest first: that one is in force."""

    versions: list[SimilarityVersion]


def rules_router(rules: Rules, db: Database) -> Router:
    """``GET|PUT /policies/merging|similarity``, for staff."""
    router = Router(tags=["policies"])
    merging_example = {"versions": [{**_WRITTEN, "numbers": _MERGING}]}
    similarity_example = {"versions": [{**_WRITTEN, "numbers": _SIMILARITY}]}

    @router.get("/policies/merging", responses=examples.answer(merging_example, **_ETAG))
    async def read_merging(_: Reader, response: Response) -> MergingPolicyView:
        """The kinds of key that join two files, and those before them."""
        return MergingPolicyView.model_validate(await versions("merging", response))

    @router.put("/policies/merging", responses=examples.answer(merging_example, **_ETAG))
    async def put_merging(
        _: Writer, match: Annotated[Precondition, if_match()], numbers: MergingNumbers, response: Response
    ) -> MergingPolicyView:
        """A new version, in force at once. It joins who was found before, too, and parts nobody."""
        await change("merging", numbers_of(numbers, MergingPolicy), match)
        return MergingPolicyView.model_validate(await versions("merging", response))

    @router.get("/policies/similarity", responses=examples.answer(similarity_example, **_ETAG))
    async def read_similarity(_: Reader, response: Response) -> SimilarityPolicyView:
        """The numbers by which two files are suggested as one person's, and those before them."""
        return SimilarityPolicyView.model_validate(await versions("similarity", response))

    @router.put("/policies/similarity", responses=examples.answer(similarity_example, **_ETAG))
    async def put_similarity(
        _: Writer, match: Annotated[Precondition, if_match()], numbers: SimilarityNumbers, response: Response
    ) -> SimilarityPolicyView:
        """A new version, in force at once; everybody is compared again within minutes."""
        await change("similarity", numbers_of(numbers, SimilarityPolicy), match)
        return SimilarityPolicyView.model_validate(await versions("similarity", response))

    async def versions(name: Name, response: Response) -> dict[str, Any]:
        async with db.transaction() as tx:
            found = await rules.versions(tx, name)
        response.headers["ETag"] = etag(found[0][0].version)
        return {"versions": [version_of(numbers, at) for numbers, at in found]}

    async def change(name: Name, numbers: Numbers, match: Precondition) -> None:
        async with db.transaction() as tx:
            await rules.change(tx, name, numbers, match.require)

    return router
