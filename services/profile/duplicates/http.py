"""The routes of suggested duplicates."""

from typing import Annotated, Any

from fastapi import Body, Path, Response
from pydantic import BaseModel, ConfigDict

from services.profile import examples
from services.profile.accesses.application import showed
from services.profile.duplicates.application import Duplicates
from services.profile.duplicates.domain import Listed
from services.profile.fields import CustomerId, outgoing_trace, request_cause
from services.profile.identities.application import Identities
from services.profile.identities.domain import AlreadyMerged, KindsDiffer, KnownAsTwo, UnknownCustomer
from services.profile.policies.domain import Comparable
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest, decode_cursor, encode_cursor
from shared.http.problems import ProblemError, conflict, invalid, not_found
from shared.http.routing import Router
from shared.service import Wake

PairInPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,200}$")]

_PAIR = (examples.CUSTOMER_ID, "web:2002")
_ID = encode_cursor(_PAIR)
_SUGGESTION: dict[str, Any] = {
    "id": _ID,
    "customers": [
        {"customer_id": _PAIR[0], "name": "Example Customer"},
        {"customer_id": _PAIR[1], "name": "Customer Example"},
    ],
    "score": 90,
    "evidence": [
        {"field": "email", "similarity": 1.0, "points": 60, "verified": True},
        {"field": "name", "similarity": 1.0, "points": 30, "verified": False},
    ],
}
_ACCEPTED = {"id": "m_0c1d", "from_id": _PAIR[1], "into_id": _PAIR[0]}


class CandidateView(BaseModel):
    """One of the two."""

    customer_id: str
    name: str | None


class EvidenceView(BaseModel):
    """A field that agrees: ``similarity`` is 1 where it is the same, ``verified`` where it is so in both files;
    ``points`` is what it adds to the score."""

    field: Comparable
    similarity: float
    points: int
    verified: bool


class SuggestionView(BaseModel):
    """Two files, everything that speaks for their being one person's, and how much, up to 100 points."""

    id: str
    customers: list[CandidateView]
    score: int
    evidence: list[EvidenceView]


class Rejected(BaseModel):
    """The pair that isn't suggested any more."""

    id: str


class Acceptance(BaseModel):
    """Which of the two stays."""

    model_config = ConfigDict(extra="forbid")

    into_id: CustomerId


class Accepted(BaseModel):
    """The merge that it became: `GET /merges/{id}` shows it, `POST /merges/{id}/undo` takes it back."""

    id: str
    from_id: str
    into_id: str


def duplicates_router(duplicates: Duplicates, identities: Identities, db: Database, wake: Wake) -> Router:
    """``GET /duplicates``, ``POST /duplicates/{id}/reject|accept``."""
    router = Router(tags=["identities"])

    @router.get("/duplicates", responses=examples.answer({"items": [_SUGGESTION], "next_cursor": None}))
    async def list_duplicates(
        _: Annotated[Principal, staff_only("profile:read")], paging: PageRequest
    ) -> Page[SuggestionView]:
        """Pairs of customers who may be one person, the best first: they share an address, or their names are alike
        and so are birthdays, phones or postal addresses.

        The policy `similarity` says what counts how much; an address that a crowd has is nobody's evidence. A change of
        a file shows within seconds.
        """
        after = paging.after(tuple[int, str, str])
        async with db.transaction() as tx:
            found = await duplicates.page(tx, after=after, limit=paging.limit + 1)
        showed(customer for one in found[: paging.limit] for customer in _place(one)[1:])
        return Page(items=[_view(one) for one in found[: paging.limit]], next_cursor=paging.next_cursor(found, _place))

    @router.post("/duplicates/{id}/reject", responses=examples.answer({"id": _ID}))
    async def reject(
        who: Annotated[Principal, staff_only("profile:write")],
        attempt: Annotated[Attempt, idempotency_key()],
        id: PairInPath,
        response: Response,
    ) -> Rejected:
        """They are two: this pair isn't suggested again."""
        pair = _read(id)
        async with db.transaction() as tx:
            if (replay := await attempt.claim(tx)) is not None:
                replay.mark(response)
            elif not await duplicates.reject(tx, pair, who.subject):
                raise not_found()
            else:
                # Not the pair's id, which names both customers.
                await attempt.remember(tx, status=200, resource_id="rejected")
        return Rejected(id=id)

    @router.post("/duplicates/{id}/accept", status_code=201, responses=examples.answer(_ACCEPTED, 201))
    async def accept(
        _: Annotated[Principal, staff_only("profile:write")],
        attempt: Annotated[Attempt, idempotency_key()],
        id: PairInPath,
        accepted: Annotated[Acceptance, Body(examples=[{"into_id": _PAIR[0]}])],
        response: Response,
    ) -> Accepted:
        """They are one person: the same as a merge of the other into ``into_id``. Refused (409) where somebody found
        them to be two."""
        pair = _read(id)
        if accepted.into_id not in pair:
            raise invalid("/into_id", "This is neither of the two.")
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                made = await identities.find(tx, replay.resource_id)
            else:
                from_id = next((one for one in pair if one != accepted.into_id), accepted.into_id)
                try:
                    made = await identities.merge(
                        tx, from_id, accepted.into_id, request_cause(), outgoing_trace(), suggested=True
                    )
                except UnknownCustomer as error:
                    raise not_found() from error
                except AlreadyMerged as error:
                    detail = "One of the two is joined to another already."
                    raise conflict("already-merged", detail, survivor=error.survivor) from error
                except KnownAsTwo as error:
                    detail = "Somebody found them to be two; POST /merges joins them all the same."
                    raise conflict("rejected", detail) from error
                except KindsDiffer as error:
                    raise conflict("kinds-differ", "A person and a company are never one.") from error
                await attempt.remember(tx, status=201, resource_id=made.merge_id)
        wake()
        assert made is not None, "a key is kept with its merge"
        return Accepted(id=made.merge_id, from_id=made.from_id, into_id=made.into_id)

    return router


def _place(listed: Listed) -> tuple[int, str, str]:
    one = listed.suggestion
    return one.score, one.first, one.second


def _read(id: str) -> tuple[str, str]:
    try:
        pair = decode_cursor(id, tuple[str, str])
    except ProblemError:
        raise not_found() from None
    if pair[0] == pair[1]:
        raise not_found()
    return pair


def _view(listed: Listed) -> SuggestionView:
    one = listed.suggestion
    return SuggestionView(
        id=encode_cursor((one.first, one.second)),
        customers=[
            CandidateView(customer_id=one.first, name=listed.first_name),
            CandidateView(customer_id=one.second, name=listed.second_name),
        ],
        score=one.score,
        evidence=[
            EvidenceView(field=what.field, similarity=what.similarity, points=what.points, verified=what.verified)
            for what in one.evidence
        ],
    )
