"""The routes of segments: the shop's own rules, who is where, since when and why."""

from typing import Annotated

from fastapi import Path, Query, Response

from services.profile import examples
from services.profile.accesses.application import showed
from services.profile.fields import CustomerInPath, Id, Instant
from services.profile.identities.application import person
from services.profile.segments import shapes
from services.profile.segments.catalogue import OwnSegments, SegmentExists, TooManySegments
from services.profile.segments.classes import has_class
from services.profile.segments.domain import BUILT_IN, IN
from services.profile.segments.explaining import Explaining
from services.profile.segments.recalibration import Recalibrations, TooFewCustomers
from services.profile.segments.rules import InvalidRule
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires, staff_only
from shared.http.etags import Precondition, etag, if_match
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import ProblemError, conflict, invalid, not_found
from shared.http.routing import Router
from shared.service import Wake

NameInPath = Annotated[str, Path(pattern=shapes.NAME)]
StaffReader = Annotated[Principal, staff_only("profile:read")]
Reader = Annotated[Principal, requires("profile:read")]
Writer = Annotated[Principal, staff_only("profile:write")]
_ETAG = examples.etag("the rule")


def segments_router(
    catalogue: OwnSegments, explaining: Explaining, recalibrations: Recalibrations, db: Database, wake: Wake
) -> Router:
    """``/segments`` and what hangs below it; ``/customers/{customer_id}/segments`` and an explanation of each."""
    router = Router(tags=["segments"])

    @router.get("/segments", responses=examples.answer(shapes.LISTED))
    async def list_segments(_: StaffReader, paging: PageRequest) -> Page[shapes.SegmentView]:
        """All segments by name: the built-in lifecycle, rfm, value and class, and the shop's own."""
        after = paging.after(tuple[str])
        async with db.transaction() as tx:
            found = [view for view in await _views(tx) if after is None or view.name > after[0]]
        cursor = paging.next_cursor(found, lambda view: (view.name,))
        return Page(items=found[: paging.limit], next_cursor=cursor)

    @router.post("/segments", status_code=201, responses=examples.answer(shapes.SEGMENT, 201, **_ETAG))
    async def create_segment(
        _: Writer, attempt: Annotated[Attempt, idempotency_key()], new: shapes.NewSegment, response: Response
    ) -> shapes.SegmentView:
        """A segment of the shop's own. Everybody is placed by it within minutes; `placing` tells how far."""
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                return await _one(tx, replay.resource_id, response)
            try:
                await catalogue.create(tx, new.name, new.title, new.rule)
            except InvalidRule as error:
                raise _refused(error) from error
            except SegmentExists as error:
                raise conflict("segment-exists", "There is a segment of this name; PUT makes a new version.") from error
            except TooManySegments as error:
                raise conflict("too-many-segments", "There are a hundred segments already.") from error
            await attempt.remember(tx, status=201, resource_id=new.name)
            shown = await _one(tx, new.name, response)
        wake()
        return shown

    @router.get("/segments/{name}", responses=examples.answer(shapes.SEGMENT, **_ETAG))
    async def read_segment(_: StaffReader, name: NameInPath, response: Response) -> shapes.SegmentView:
        """A segment; the ETag is the version of its rule."""
        async with db.transaction() as tx:
            return await _one(tx, name, response)

    @router.put("/segments/{name}", responses=examples.answer(shapes.SEGMENT, **_ETAG))
    async def change_segment(
        _: Writer,
        name: NameInPath,
        match: Annotated[Precondition, if_match()],
        written: shapes.Written,
        response: Response,
    ) -> shapes.SegmentView:
        """A new version, by which everybody is placed again. A built-in segment is changed by its policy."""
        _own_only(name)
        async with db.transaction() as tx:
            try:
                changed = await catalogue.change(tx, name, written.title, written.rule, match.require)
            except InvalidRule as error:
                raise _refused(error) from error
            if changed is None:
                raise not_found()
            shown = await _one(tx, name, response)
        wake()
        return shown

    @router.post("/segments/{name}/preview", responses=examples.answer(shapes.PREVIEW))
    async def preview_segment(_: StaffReader, name: NameInPath, asked: shapes.Asked) -> shapes.PreviewView:
        """Who would move if this were the rule, of a segment that stands or of one to be made; restricted files are
        left out. Writes nothing."""
        _own_only(name)
        try:
            preview = await catalogue.preview(name, asked.rule)
        except InvalidRule as error:
            raise _refused(error) from error
        showed(customer for examples in preview.examples.values() for customer in examples)
        return shapes.preview_view(preview)

    @router.get("/segments/{name}/members", responses=examples.answer({"items": [shapes.MEMBER], "next_cursor": None}))
    async def read_members(
        _: StaffReader,
        name: NameInPath,
        paging: PageRequest,
        place: Annotated[
            Id | None, Query(alias="class", description="Of a built-in segment, such as `dormant` or `5-2-1`")
        ] = None,
    ) -> Page[shapes.MemberView]:
        """Who is in a segment, or in a class of a built-in one, by id; restricted files are left out."""
        after = paging.after(tuple[str])
        if place is None and name in BUILT_IN:
            raise invalid("/query/class", "A built-in segment has members by class.")
        async with db.transaction() as tx:
            if name not in BUILT_IN and await catalogue.find(tx, name) is None:
                raise not_found()
            if not has_class(name, place or IN):
                raise invalid("/query/class", "The segment has no such class.")
            found = await catalogue.members(tx, name, place or IN, after[0] if after else "", paging.limit + 1)
        showed(member.customer_id for member in found[: paging.limit])
        cursor = paging.next_cursor(found, lambda member: (member.customer_id,))
        return Page(items=[shapes.member_view(one) for one in found[: paging.limit]], next_cursor=cursor)

    @router.post("/segments/rfm/recalibration", responses=examples.answer(shapes.RECALIBRATION))
    async def recalibrate(
        _: Writer, attempt: Annotated[Attempt, idempotency_key()], asked: shapes.Recalibrate, response: Response
    ) -> shapes.RecalibrationView:
        """The cut-points of rfm from today's quintiles, and who would move; only `apply` makes them a new version.

        Sent again with its key it applies nothing, and shows the present state.
        """
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
            try:
                found = await recalibrations.run(tx, apply=asked.apply and replay is None)
            except TooFewCustomers as error:
                raise conflict("too-few-customers", "Quintiles need five customers or more who have bought.") from error
            if replay is None:
                await attempt.remember(tx, status=200, resource_id=str(found.version))
        wake()
        return shapes.recalibration_view(found, recalibrations.house.currency)

    @router.get("/customers/{customer_id}/segments", responses=examples.answer({"items": [shapes.STANDING]}))
    async def read_standings(
        who: Reader,
        customer_id: CustomerInPath,
        as_of: Annotated[Instant | None, Query(description="An instant of the past; now without")] = None,
    ) -> shapes.StandingsView:
        """The segments a customer is in, or was in at an instant, with his class in each."""
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            if not await explaining.knows(tx, asked.customer_id):
                raise not_found()
            found = await explaining.of(tx, asked.customer_id, as_of)
        return shapes.StandingsView(items=[shapes.standing_view(one) for one in found])

    @router.get("/customers/{customer_id}/segments/{name}/explanation", responses=examples.answer(shapes.EXPLANATION))
    async def explain(who: Reader, customer_id: CustomerInPath, name: NameInPath) -> shapes.ExplanationView:
        """Why a customer stands where he does: the rule, what it reads, since when, and when time would change it."""
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            found = await explaining.explain(tx, asked.customer_id, name)
        if found is None:
            raise not_found()
        return shapes.explanation_view(found)

    async def _views(tx: Tx) -> list[shapes.SegmentView]:
        return [shapes.segment_view(*listed) for listed in await catalogue.listed(tx)]

    async def _one(tx: Tx, name: str, response: Response) -> shapes.SegmentView:
        found = next((view for view in await _views(tx) if view.name == name), None)
        if found is None:
            raise not_found()
        response.headers["ETag"] = etag(found.version)
        return found

    return router


def _own_only(name: str) -> None:
    if name in BUILT_IN:
        raise conflict("built-in-segment", "A built-in segment follows its policy; it has no rule tree.")


def _refused(error: InvalidRule) -> ProblemError:
    return invalid(f"/rule{error.pointer}", str(error), code=error.code)
