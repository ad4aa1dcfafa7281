"""The routes of the policies, made of their descriptions: each PUT is a new version, in force at once."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel

from services.profile import examples
from services.profile.accesses.application import showed
from services.profile.policies import application as policies
from services.profile.policies.shapes import encoded, numbers_of, view_of
from services.profile.policies.table import Described
from services.profile.segments import shapes as segments
from shared.db import Database, Tx
from shared.http.auth import Principal, staff_only
from shared.http.etags import Precondition, etag, if_match
from shared.http.routing import Router
from shared.service import Wake

Reader = Annotated[Principal, staff_only("profile:read")]
Writer = Annotated[Principal, staff_only("profile:write")]

_WRITTEN_AT = "2026-11-20T08:15:00Z"
_ETAG = examples.etag("the policy")


def policies_router(table: Iterable[Described], db: Database, wake: Wake) -> Router:
    """``GET|PUT /policies/{name}``, and ``POST …/preview`` of those that have one, for staff."""
    router = Router(tags=["policies"])
    for policy in table:
        _versions(router, policy, db, wake)
        _preview(router, policy)
    return router


def _versions(router: Router, policy: Described, db: Database, wake: Wake) -> None:
    example = {"versions": [{"version": policy.version, "created_at": _WRITTEN_AT, "numbers": policy.example}]}
    documented: dict[str, Any] = {
        "path": f"/policies/{policy.name}",
        "response_model": view_of(policy.name, policy.numbers),
        "responses": examples.answer(example, **_ETAG),
    }

    @router.get(**documented, name=f"read_{policy.name}", description=policy.reads)
    async def read(_: Reader) -> Response:
        async with db.transaction() as tx:
            return await shown(tx)

    async def put(_: Writer, match: Annotated[Precondition, if_match()], numbers: BaseModel) -> Response:
        wanted = numbers_of(numbers, policy.kind)
        async with db.transaction() as tx:
            if await policies.change(tx, policy.name, wanted, match.require):
                await policy.sets_off(tx, wanted)
            answer = await shown(tx)
        wake()
        return answer

    async def shown(tx: Tx) -> Response:
        found: Any = await policies.versions(tx, policy.name, policy.kind)
        return Response(encoded(found), headers={"ETag": etag(found[0][0].version)}, media_type="application/json")

    _takes(put, policy)
    router.put(**documented, name=f"put_{policy.name}", description=policy.puts)(put)


def _preview(router: Router, policy: Described) -> None:
    if policy.preview is None:
        return
    look = policy.preview

    async def preview(_: Reader, numbers: BaseModel) -> segments.PreviewView:
        """Who would move if these were the numbers. Writes nothing."""
        found = await look(numbers_of(numbers, policy.kind))
        showed(customer for movers in found.examples.values() for customer in movers)
        return segments.preview_view(found)

    _takes(preview, policy)
    router.post(
        f"/policies/{policy.name}/preview",
        name=f"preview_{policy.name}",
        responses=examples.answer(segments.PREVIEW),
    )(preview)


def _takes(endpoint: Any, policy: Described) -> None:
    # FastAPI reads the body's model from the annotation, which no checker lets a variable stand in.
    endpoint.__annotations__["numbers"] = policy.numbers
