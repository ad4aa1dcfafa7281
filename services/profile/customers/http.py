"""The routes of the customer file and its 360° view."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import Body, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.profile import examples
from services.profile.accesses.application import showed
from services.profile.attributes.domain import InvalidAttribute
from services.profile.customers.application import CustomerExists, Customers, TrueTooLate
from services.profile.customers.contact_points import InvalidContactPoint
from services.profile.customers.domain import CustomerFile
from services.profile.customers.shapes import (
    Envelope,
    FileFields,
    NewCustomer,
    SaidView,
    document_of,
    fields_of,
    merged,
    said_view,
)
from services.profile.fields import CustomerInPath, Id, outgoing_trace, request_cause
from services.profile.identities.application import person
from services.profile.identities.domain import Person
from services.profile.overview.application import Overview, Overviews
from services.profile.overview.shapes import CustomerRow, CustomerView, encoded, row, view
from services.profile.purchases.lifecycle import Stage
from shared.contracts.risk import Band
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires, staff_only
from shared.http.bodies import pointer
from shared.http.etags import Precondition, etag, if_match
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import ProblemError, conflict, forbidden, invalid, not_found
from shared.http.routing import Router
from shared.service import Wake

Reader = Annotated[Principal, requires("profile:read")]
StaffReader = Annotated[Principal, staff_only("profile:read")]
Writer = Annotated[Principal, staff_only("profile:write")]

_PATCH = {"tags": ["tea", "vip"], "owner": None, "as_of": "2026-11-20T08:15:00Z", "source": "pos"}
_PATCH_BODY = {
    "application/merge-patch+json": {
        "schema": {"type": "object", "properties": Envelope.model_json_schema()["properties"]},
        "example": _PATCH,
    }
}
_SAID = {
    "customer_id": "pos:1001",
    "field": "attributes.shoe",
    "value": 42,
    "source": "pos",
    "true_at": "2026-11-20T08:15:00Z",
    "recorded_at": "2026-11-21T02:00:00Z",
    "stands": True,
}


def customers_router(customers: Customers, overviews: Overviews, db: Database, wake: Wake) -> Router:
    """``POST /customers``, ``GET /customers``, ``GET|PATCH /customers/{customer_id}``, ``GET …/history``."""
    router = Router(tags=["customers"])

    @router.post("/customers", status_code=201, responses=examples.answer(examples.VIEW, 201, **examples.ETAG))
    async def create(
        who: Writer,
        attempt: Annotated[Attempt, idempotency_key()],
        new: Annotated[NewCustomer, Body(examples=[{**examples.FIELDS, "customer_id": examples.CUSTOMER_ID}])],
        response: Response,
    ) -> CustomerView:
        """Makes a file. That of somebody who was met by an event alone is filled in.

        `as_of` says since when the fields are true (at most 24 hours ahead, by default now), `source` whose word that
        is (by default the token's subject).
        """
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            if replay is not None:
                replay.mark(response)
                showed([replay.resource_id])
                return await _answer(tx, replay.resource_id, response, who)
            if new.customer_id and (survivor := (await person(tx, new.customer_id)).merged_into):
                detail = f"This customer_id is joined to {survivor}; PATCH that one."
                raise conflict(CustomerExists.code, detail, survivor=survivor)
            try:
                file = await customers.create(
                    tx,
                    new.customer_id,
                    fields_of(new),
                    request_cause(),
                    outgoing_trace(),
                    saying=new.saying(who.subject),
                )
            except CustomerExists as error:
                raise conflict(error.code, "There is a file of this customer_id; PATCH changes it.") from error
            except InvalidContactPoint as error:
                raise _refused(error, new.model_dump()) from error
            except InvalidAttribute as error:
                raise _no_value(error) from error
            except TrueTooLate as error:
                raise _too_late(error) from error
            await attempt.remember(tx, status=201, resource_id=file.customer_id)
            showed([file.customer_id])
            shown = await _shown(tx, file, await person(tx, file.customer_id), response)
        wake()
        return shown

    @router.get("/customers", responses=examples.answer({"items": [examples.ROW], "next_cursor": None}))
    async def list_customers(
        who: StaffReader,
        paging: PageRequest,
        q: Annotated[str | None, Query(max_length=200, description="How the name begins")] = None,
        segment: Annotated[Id | None, Query(description="The shop's own by name, or as `value:EI`")] = None,
        tag: Id | None = None,
        owner: Id | None = None,
        lifecycle: Stage | None = None,
        tier: Id | None = None,
        risk: Band | None = None,
        restricted: Annotated[
            bool, Query(description="List restricted files, too; it takes the scope `profile:write`")
        ] = False,
    ) -> Page[CustomerRow]:
        """Customers in the order of their ids, by what their files and the facts say."""
        if restricted and not who.has("profile:write"):
            raise forbidden("Restricted files are shown to who may write files.", code="insufficient-scope")
        after = paging.after(tuple[str])
        filters: Mapping[str, str | None] = {
            "q": q, "tag": tag, "owner": owner, "lifecycle": lifecycle, "tier": tier, "risk": risk,
            "segment": segment, "after": after[0] if after else None,
        }  # fmt: skip
        async with db.transaction() as tx:
            found = await overviews.many(tx, filters, paging.limit + 1, restricted=restricted)
        items = [row(listed, judged) for listed, judged in found[: paging.limit]]
        showed(item.customer_id for item in items)
        return Page(items=items, next_cursor=paging.next_cursor(found, lambda one: (one[0].customer_id,)))

    @router.get(
        "/customers/{customer_id}",
        response_model=CustomerView,
        responses=examples.answer(examples.VIEW, **examples.ETAG),
    )
    async def read_customer(who: Reader, customer_id: CustomerInPath) -> Response:
        """The 360° view. The ETag is that of the editable file: purchases and points don't change it.

        An id that was joined to another answers the customer it was joined to, and `merged_into` names him.
        """
        async with db.connection() as reader:
            found = await overviews.alone(reader, customer_id)
        if found is None:
            async with db.transaction() as tx:
                found = await _found(tx, customer_id, who)
        else:
            own_or_404(who, customer_id)
        headers = {"ETag": etag(found.file.version)}
        return Response(encoded(found), headers=headers, media_type="application/json")

    @router.patch(
        "/customers/{customer_id}",
        responses=examples.answer(examples.VIEW, **examples.ETAG),
        openapi_extra={"requestBody": {"content": _PATCH_BODY}},
    )
    async def change(
        who: Writer,
        customer_id: CustomerInPath,
        match: Annotated[Precondition, if_match()],
        patch: Annotated[dict[str, Any], Body(examples=[_PATCH])],
        response: Response,
    ) -> CustomerView:
        """Changes a file by a JSON merge patch (RFC 7396): null takes a field away, lists are replaced whole.

        Beside the fields, `as_of` says since when they are true (at most 24 hours ahead, by default now), and `source`
        whose word that is (by default the token's subject). Of each field, each attribute and the addresses of each
        kind, the value that is true since latest stands, whenever it arrives; the others are in the history. The
        answer is the file as it stands.
        """
        envelope, patch = _opened(patch)

        def edit(file: CustomerFile) -> Mapping[str, Any]:
            match.require(file.version)
            document = merged(document_of(file), patch)
            try:
                return fields_of(FileFields.model_validate(document), patch)
            except ValidationError as error:
                raise _unfit(error, document) from error

        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            try:
                file = await customers.change(
                    tx, asked.customer_id, edit, request_cause(), outgoing_trace(), saying=envelope.saying(who.subject)
                )
            except InvalidContactPoint as error:
                raise _refused(error, patch) from error
            except InvalidAttribute as error:
                raise _no_value(error) from error
            except TrueTooLate as error:
                raise _too_late(error) from error
            if file is None:
                raise not_found()
            shown = await _shown(tx, file, asked, response)
        wake()
        return shown

    @router.get(
        "/customers/{customer_id}/history",
        responses=examples.answer({"items": [_SAID], "next_cursor": None}),
    )
    async def read_history(
        _: StaffReader,
        customer_id: CustomerInPath,
        paging: PageRequest,
        field: Annotated[Id | None, Query(description="A field with its parts, or a part as `attributes.shoe`")] = None,
    ) -> Page[SaidView]:
        """Every value that was ever written of his files, under all his ids: by whom, true since when; latest first."""
        after = paging.after(tuple[datetime, int])
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            if not await customers.exists(tx, asked.customer_id):
                raise not_found()
            found = await customers.history(tx, asked.ids, field, after=after, limit=paging.limit + 1)
        cursor = paging.next_cursor(found, lambda said: (said.true_at, said.id))
        return Page(items=[said_view(said) for said in found[: paging.limit]], next_cursor=cursor)

    async def _answer(tx: Tx, customer_id: str, response: Response, who: Principal) -> CustomerView:
        found = await _found(tx, customer_id, who)
        response.headers["ETag"] = etag(found.file.version)
        return view(found)

    async def _found(tx: Tx, customer_id: str, who: Principal) -> Overview:
        asked = await person(tx, customer_id)
        own_or_404(who, *asked.ids)
        file = await customers.find(tx, asked.customer_id)
        if file is None:
            raise not_found()
        return await overviews.of(tx, file, asked)

    async def _shown(tx: Tx, file: CustomerFile, asked: Person, response: Response) -> CustomerView:
        response.headers["ETag"] = etag(file.version)
        return view(await overviews.of(tx, file, asked))

    return router


def _opened(patch: dict[str, Any]) -> tuple[Envelope, dict[str, Any]]:
    beside = {name: patch[name] for name in Envelope.model_fields if name in patch}
    try:
        envelope = Envelope.model_validate(beside)
    except ValidationError as error:
        raise _unfit(error, patch) from error
    return envelope, {name: value for name, value in patch.items() if name not in beside}


def _unfit(error: ValidationError, body: Any) -> RequestValidationError:
    return RequestValidationError([{**found, "loc": ("body", *found["loc"])} for found in error.errors()], body=body)


def _no_value(error: InvalidAttribute) -> ProblemError:
    return invalid(pointer(("attributes", error.name)), str(error), code=error.code)


def _too_late(error: TrueTooLate) -> ProblemError:
    return invalid("/as_of", "Nothing may be true only from more than 24 hours ahead on.", code=error.code)


def _refused(error: InvalidContactPoint, given: Mapping[str, Any]) -> ProblemError:
    shorthand = next((kind for kind in ("email", "phone") if given.get(kind) == error.value), None)
    place = f"/{shorthand}" if shorthand else f"/contact_points/{error.index}/value"
    return invalid(place, str(error), code=error.code)
