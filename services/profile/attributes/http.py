"""The routes of declared attributes."""

from typing import Annotated, Any

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field

from services.profile import examples
from services.profile.attributes import application as attributes
from services.profile.attributes.domain import AttributeType, Declaration
from services.profile.fields import PRINTABLE
from shared.db import Database
from shared.http.auth import Principal, requires, staff_only
from shared.http.etags import Precondition, etag, if_match_or_new, require_or_new
from shared.http.pagination import Page, PageRequest
from shared.http.problems import not_found, precondition_failed
from shared.http.routing import Router

_FIELDS: dict[str, Any] = {"type": "integer", "description": "Size of his shoes"}
_DECLARED = {"name": "shoe", **_FIELDS}
_ETAG = examples.etag("the declaration")
Name = Annotated[str, Path(min_length=1, max_length=64, pattern=PRINTABLE)]


class DeclarationFields(BaseModel):
    """What an attribute's values are. A ``date`` is YYYY-MM-DD; a ``decimal`` is kept as text, to the last digit."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _FIELDS})

    type: AttributeType
    description: Annotated[str, Field(max_length=500)] | None = None


class DeclarationView(DeclarationFields):
    """A declared attribute."""

    model_config = ConfigDict(json_schema_extra={"example": _DECLARED})

    name: str


def attributes_router(db: Database) -> Router:
    """``GET /attributes``, ``GET|PUT /attributes/{attribute}``."""
    router = Router(tags=["attributes"])

    @router.get("/attributes", responses=examples.answer({"items": [_DECLARED], "next_cursor": None}))
    async def list_attributes(
        _: Annotated[Principal, staff_only("profile:read")], paging: PageRequest
    ) -> Page[DeclarationView]:
        """What is declared, in the order of the names."""
        after = paging.after(tuple[str])
        async with db.transaction() as tx:
            found = await attributes.page(tx, after[0] if after else None, paging.limit + 1)
        cursor = paging.next_cursor(found, lambda declared: (declared.name,))
        return Page(items=[_view(declared) for declared in found[: paging.limit]], next_cursor=cursor)

    @router.get("/attributes/{attribute}", responses=examples.answer(_DECLARED, **_ETAG))
    async def read_attribute(
        _: Annotated[Principal, requires("profile:read")], attribute: Name, response: Response
    ) -> DeclarationView:
        """What is declared of an attribute."""
        async with db.transaction() as tx:
            declared = await attributes.find(tx, attribute)
        if declared is None:
            raise not_found()
        return _shown(declared, response)

    @router.put("/attributes/{attribute}", responses=examples.answer(_DECLARED, **_ETAG))
    async def declare_attribute(
        _: Annotated[Principal, staff_only("profile:write")],
        attribute: Name,
        match: Annotated[Precondition | None, if_match_or_new()],
        fields: DeclarationFields,
        response: Response,
    ) -> DeclarationView:
        """Declares an attribute: what is written of it from now on must be of the type. If-Match where it is declared.

        Values written before stay as they are, and are checked when they are written again.
        """
        async with db.transaction() as tx:
            known = await attributes.find(tx, attribute)
            require_or_new(match, known.version if known else None)
            version = known.version + 1 if known else 1
            declared = Declaration(attribute, version, fields.type, fields.description)
            if not await attributes.declare(tx, declared):
                raise precondition_failed(etag(version))
        return _shown(declared, response)

    return router


def _shown(declared: Declaration, response: Response) -> DeclarationView:
    response.headers["ETag"] = etag(declared.version)
    return _view(declared)


def _view(declared: Declaration) -> DeclarationView:
    return DeclarationView(name=declared.name, type=declared.type, description=declared.description)
