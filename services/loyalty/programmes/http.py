"""Programme versions over HTTP: validated to the field, immutable once posted."""

from typing import Annotated

from fastapi import Response

from services.loyalty.openapi import answers, page
from services.loyalty.programmes.application import Posted, Programmes
from services.loyalty.programmes.bodies import VERSION, ProgrammeBody, ProgrammeVersion, check_programme
from services.loyalty.programmes.stored import not_yet_evaluated
from shared.db import Database
from shared.http.auth import Principal, requires, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import documented, not_found
from shared.http.routing import Router


def router(db: Database, programmes: Programmes) -> Router:
    """``/programmes``: staff post and list; whoever may read may read the rules in force."""
    routes = Router(tags=["programmes"])

    @routes.get(
        "/programmes/current",
        response_model=ProgrammeVersion,
        response_model_exclude_none=True,
        responses={**answers(VERSION), 404: documented(404)},
    )
    async def current(principal: Annotated[Principal, requires("loyalty:read")]) -> ProgrammeVersion:
        """The version that judges purchases made now."""
        async with db.transaction() as tx:
            try:
                return _shown(await programmes.current(tx))
            except LookupError:
                raise not_found("No programme is in force.") from None

    @routes.get(
        "/programmes",
        response_model=Page[ProgrammeVersion],
        response_model_exclude_none=True,
        responses=page(VERSION),
    )
    async def listed(
        principal: Annotated[Principal, staff_only("loyalty:read")], paging: PageRequest
    ) -> Page[ProgrammeVersion]:
        """All versions, the newest first."""
        after = paging.after(tuple[int])
        async with db.transaction() as tx:
            rows = await programmes.page(tx, after[0] if after else None, paging.limit + 1)
        cursor = paging.next_cursor(rows, lambda posted: (posted.version,))
        return Page(items=[_shown(posted) for posted in rows[: paging.limit]], next_cursor=cursor)

    @routes.post(
        "/programmes",
        status_code=201,
        response_model=ProgrammeVersion,
        response_model_exclude_none=True,
        responses=answers(VERSION, 201),
    )
    async def post(
        body: ProgrammeBody,
        response: Response,
        principal: Annotated[Principal, staff_only("loyalty:write")],
        attempt: Annotated[Attempt, idempotency_key()],
    ) -> ProgrammeVersion:
        """Makes a new version. It judges what happens from ``active_from`` on; nothing that was judged already.

        What no rule of ours applies is kept all the same: ``not_yet_evaluated`` points to it.
        """
        check_programme(body)
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                return _shown(await programmes.one(tx, int(replay.resource_id)))
            posted = await programmes.post(tx, body.document())
            await attempt.remember(tx, status=201, resource_id=str(posted.version))
        return _shown(posted)

    return routes


def _shown(posted: Posted) -> ProgrammeVersion:
    return ProgrammeVersion(
        **posted.body,
        version=posted.version,
        posted_at=posted.posted_at,
        not_yet_evaluated=not_yet_evaluated(posted.body),
    )
