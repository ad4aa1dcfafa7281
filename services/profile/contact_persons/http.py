"""The routes of a company's contact persons, for staff."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import Body, Path, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.profile import examples
from services.profile.consents.domain import Consent
from services.profile.consents.shapes import ConsentsView, ConsentView, Saying, consent_view
from services.profile.contact_persons.application import ContactPersons
from services.profile.contact_persons.domain import ContactPerson, NoCompany
from services.profile.customers.application import Customers
from services.profile.customers.contact_points import MAX_POINTS, ContactPoint, InvalidContactPoint
from services.profile.customers.shapes import ContactPointShape, merged
from services.profile.fields import PRINTABLE, CustomerInPath
from services.profile.identities.application import person as who_is
from services.profile.identities.domain import Person
from shared.contracts.customers import ContactChannel, Purpose
from shared.db import Database, Tx
from shared.http.auth import Principal, staff_only
from shared.http.etags import Precondition, etag, if_match
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import PROBLEMS, ProblemError, conflict, invalid, not_found
from shared.http.routing import Router

_FIELDS: dict[str, Any] = {
    "name": "Example Buyer",
    "role": "buyer",
    "main": True,
    "contact_points": [{"kind": "phone", "value": "+886223456789", "verified": True}],
}
_PERSON = {"person_id": "p_51c0", "customer_id": "crm:88", **_FIELDS}
_PATCH = {"role": None}
_SAID = {"granted": True, "source": "trade-fair", "wording_version": "2026-1"}
_CONSENT = {"channel": "email", "purpose": "marketing", **_SAID, "recorded_at": "2026-11-20T08:15:00Z"}
_PATCH_BODY = {"application/merge-patch+json": {"schema": {"type": "object"}, "example": _PATCH}}
_ETAG = examples.etag("the person")
Reader = Annotated[Principal, staff_only("profile:read")]
Writer = Annotated[Principal, staff_only("profile:write")]
PersonInPath = Annotated[str, Path(pattern=PRINTABLE)]


class PersonFields(BaseModel):
    """A person of a company. The first contact point of a kind is the one that is used. ``main``: whom greetings and
    calls go to before the others; one at most, so that a new one takes the place of the last."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _FIELDS})

    name: Annotated[str, Field(min_length=1, max_length=200)]
    role: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    main: bool = False
    contact_points: list[ContactPointShape] = Field(default=[], max_length=MAX_POINTS)


class PersonView(PersonFields):
    """A person as kept: phones in E.164, e-mails in lower case."""

    model_config = ConfigDict(json_schema_extra={"example": _PERSON})

    person_id: str
    customer_id: str


def contact_persons_router(persons: ContactPersons, customers: Customers, db: Database) -> Router:
    """``GET|POST /customers/{customer_id}/contact-persons``, ``GET|PATCH|DELETE …/{person_id}``, and what he agrees
    to: ``GET …/consents``, ``PUT …/consents/{channel}/{purpose}``."""
    router = Router(tags=["contact persons"])
    path = "/customers/{customer_id}/contact-persons"

    @router.get(path, responses=examples.answer({"items": [_PERSON], "next_cursor": None}))
    async def list_persons(_: Reader, customer_id: CustomerInPath, paging: PageRequest) -> Page[PersonView]:
        """The persons of a company, in the order of their ids."""
        after = paging.after(tuple[str])
        async with db.transaction() as tx:
            company = await _company(tx, customer_id)
            found = await persons.page(tx, company.ids, after[0] if after else None, paging.limit + 1)
        cursor = paging.next_cursor(found, lambda person: (person.person_id,))
        return Page(items=[_view(person) for person in found[: paging.limit]], next_cursor=cursor)

    @router.post(path, status_code=201, responses={**examples.answer(_PERSON, 201, **_ETAG), 409: PROBLEMS[409]})
    async def add_person(
        _: Writer,
        attempt: Annotated[Attempt, idempotency_key()],
        customer_id: CustomerInPath,
        new: PersonFields,
        response: Response,
    ) -> PersonView:
        """Adds a person to a company; 409 `not-a-company` for a customer who is a person himself."""
        async with db.transaction() as tx:
            replay = await attempt.claim(tx)
            company = await _company(tx, customer_id)
            if replay is not None:
                replay.mark(response)
                return _shown(await persons.find(tx, company.ids, replay.resource_id), response)
            try:
                person = await persons.add(tx, company.customer_id, _fields(new))
            except NoCompany as error:
                raise conflict(error.code, "Only a company has contact persons.") from error
            except InvalidContactPoint as error:
                raise _refused(error) from error
            shown = _shown(person, response)
            await attempt.remember(tx, status=201, resource_id=shown.person_id)
        return shown

    @router.get(f"{path}/{{person_id}}", responses=examples.answer(_PERSON, **_ETAG))
    async def read_person(
        _: Reader, customer_id: CustomerInPath, person_id: PersonInPath, response: Response
    ) -> PersonView:
        """A person of a company."""
        async with db.transaction() as tx:
            return _shown(await persons.find(tx, (await _company(tx, customer_id)).ids, person_id), response)

    @router.patch(
        f"{path}/{{person_id}}",
        responses=examples.answer(_PERSON, **_ETAG),
        openapi_extra={"requestBody": {"content": _PATCH_BODY}},
    )
    async def change_person(
        _: Writer,
        customer_id: CustomerInPath,
        person_id: PersonInPath,
        match: Annotated[Precondition, if_match()],
        patch: Annotated[dict[str, Any], Body(examples=[_PATCH])],
        response: Response,
    ) -> PersonView:
        """Changes a person by a JSON merge patch (RFC 7396)."""

        def edit(person: ContactPerson) -> Mapping[str, Any]:
            match.require(person.version)
            document = merged(_document(person), patch)
            try:
                return _fields(PersonFields.model_validate(document))
            except ValidationError as error:
                errors = [{**found, "loc": ("body", *found["loc"])} for found in error.errors()]
                raise RequestValidationError(errors, body=document) from error

        async with db.transaction() as tx:
            try:
                person = await persons.change(tx, (await _company(tx, customer_id)).ids, person_id, edit)
            except InvalidContactPoint as error:
                raise _refused(error) from error
            return _shown(person, response)

    @router.delete(f"{path}/{{person_id}}", responses=examples.answer(_PERSON, **_ETAG))
    async def remove_person(
        _: Writer, customer_id: CustomerInPath, person_id: PersonInPath, response: Response
    ) -> PersonView:
        """Removes a person, and answers who that was."""
        async with db.transaction() as tx:
            return _shown(await persons.remove(tx, (await _company(tx, customer_id)).ids, person_id), response)

    @router.get(f"{path}/{{person_id}}/consents", responses=examples.answer({"items": [_CONSENT]}))
    async def read_person_consents(
        _: Reader, customer_id: CustomerInPath, person_id: PersonInPath
    ) -> ConsentsView:
        """What a person of a company agreed to, by channel and purpose: for his own addresses, not the company's."""
        async with db.transaction() as tx:
            said = await persons.said(tx, (await _company(tx, customer_id)).ids, person_id)
        if said is None:
            raise not_found()
        return ConsentsView(items=[consent_view(one) for one in said])

    @router.put(f"{path}/{{person_id}}/consents/{{channel}}/{{purpose}}", responses=examples.answer(_CONSENT))
    async def put_person_consent(
        _: Writer,
        customer_id: CustomerInPath,
        person_id: PersonInPath,
        channel: ContactChannel,
        purpose: Purpose,
        saying: Annotated[Saying, Body(examples=[_SAID])],
    ) -> ConsentView:
        """Adds an entry to the ledger of a person. What the company itself refuses holds for all of its persons."""
        said = (saying.granted, saying.source, saying.wording_version, customers.clock.now())
        consent = Consent(channel, purpose, *said)
        async with db.transaction() as tx:
            if not await persons.say(tx, (await _company(tx, customer_id)).ids, person_id, consent):
                raise not_found()
        return consent_view(consent)

    async def _company(tx: Tx, customer_id: str) -> Person:
        company = await who_is(tx, customer_id)
        if not await customers.exists(tx, company.customer_id):
            raise not_found()
        return company

    return router


def _fields(given: PersonFields) -> dict[str, Any]:
    points = tuple(ContactPoint(point.kind, point.value, point.verified) for point in given.contact_points)
    return {"name": given.name, "role": given.role, "main": given.main, "contact_points": points}


def _document(person: ContactPerson) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(person)
    return {name: document[name] for name in PersonFields.model_fields}


def _shown(person: ContactPerson | None, response: Response) -> PersonView:
    if person is None:
        raise not_found()
    response.headers["ETag"] = etag(person.version)
    return _view(person)


def _view(person: ContactPerson) -> PersonView:
    return PersonView.model_validate(
        {**_document(person), "person_id": person.person_id, "customer_id": person.customer_id}
    )


def _refused(error: InvalidContactPoint) -> ProblemError:
    return invalid(f"/contact_points/{error.index}/value", str(error), code=error.code)
