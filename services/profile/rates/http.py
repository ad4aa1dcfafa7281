"""The routes of rates of exchange."""

import re
from datetime import date, datetime, timedelta
from functools import partial
from typing import Annotated, Any

from fastapi import Path, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.profile import examples
from services.profile.fields import Day, Id
from services.profile.rates.application import RateBook
from services.profile.rates.domain import LONGEST, Rate
from shared.contracts.currencies import MINOR_UNITS
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.etags import Precondition, etag, if_match_or_new, require_or_new
from shared.http.pagination import Page, PageRequest
from shared.http.problems import invalid, not_found
from shared.http.routing import Router

_STATED: dict[str, Any] = {"valid_to": "2026-11-22", "rate": "32.145", "source": "central bank"}
_EXAMPLE: dict[str, Any] = {
    "from": "USD",
    "to": "TWD",
    "valid_from": "2026-11-20",
    **_STATED,
    "version": 1,
    "stated_at": "2026-11-20T08:15:00Z",
}
_ETAG = examples.etag("the rate")
_CURRENCY = r"^[A-Z]{3}$"
_POSITIVE = r"^(0*[1-9][0-9]{0,6}(\.[0-9]{1,12})?|0+\.[0-9]{0,11}[1-9][0-9]{0,11})$"

_LONGEST_RATE = 20


def _code(text: str) -> str:
    if not re.fullmatch(_CURRENCY, text):
        raise ValueError('a currency is the three capital letters of ISO 4217, as "USD"')
    return text


def _rate(text: str) -> str:
    if len(text) > _LONGEST_RATE or not re.fullmatch(_POSITIVE, text):
        raise ValueError(
            'a rate is a decimal above 0 in plain digits, as "32.145": at most 7 before the point and 12 after it, '
            "20 characters in all"
        )
    return text


_SHOWN = Field(json_schema_extra={"pattern": _CURRENCY})
# What the document shows as patterns is checked by what answers in words.
Currency = Annotated[
    str,
    AfterValidator(_code),
    Path(description="ISO 4217; any but the house's", json_schema_extra={"pattern": _CURRENCY}),
]
DayInPath = Annotated[Day, Path(description="The first day of the house on which it holds")]


class Stated(BaseModel):
    """``rate``: units of the house's currency for one of the other, a decimal. It holds until ``valid_to``, that day
    included; on its first day alone without."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _STATED})

    rate: Annotated[
        str, AfterValidator(_rate), Field(json_schema_extra={"pattern": _POSITIVE, "maxLength": _LONGEST_RATE})
    ]
    source: Id
    valid_to: Day | None = None


class RateView(BaseModel):
    """A version of a rate. What was counted with an older one keeps it."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    currency: str = Field(alias="from")
    to: str
    valid_from: date
    valid_to: date
    rate: str
    source: str
    version: int
    stated_at: datetime


class RateHistory(RateView):
    """The newest version, and all before it, the newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {**_EXAMPLE, "older": []}})

    older: list[RateView]


def rates_router(book: RateBook, db: Database) -> Router:
    """``GET /rates``, ``GET|PUT /rates/{currency}/{valid_from}``, for staff."""
    router = Router(tags=["rates"])

    @router.get("/rates", responses=examples.answer({"items": [_EXAMPLE], "next_cursor": None}))
    async def list_rates(
        _: Annotated[Principal, staff_only("profile:read")],
        paging: PageRequest,
        currency: Annotated[Annotated[str, AfterValidator(_code), _SHOWN] | None, Query(alias="from")] = None,
    ) -> Page[RateView]:
        """What other currencies are worth, by currency and first day, the newest version of each."""
        async with db.transaction() as tx:
            found = await book.page(tx, currency, paging.after(tuple[str, date]), paging.limit + 1)
        cursor = paging.next_cursor(found, lambda rate: (rate.currency, rate.valid_from))
        return Page(items=[_view(rate) for rate in found[: paging.limit]], next_cursor=cursor)

    @router.get("/rates/{currency}/{valid_from}", responses=examples.answer({**_EXAMPLE, "older": []}, **_ETAG))
    async def read_rate(
        _: Annotated[Principal, staff_only("profile:read")],
        currency: Currency,
        valid_from: DayInPath,
        response: Response,
    ) -> RateHistory:
        """What was stated from a day on, every version."""
        async with db.transaction() as tx:
            found = await book.versions(tx, currency, valid_from)
        if not found:
            raise not_found("No rate of this currency begins on this day.")
        response.headers["ETag"] = etag(found[0].version)
        return RateHistory.model_validate(
            {**_view(found[0]).model_dump(by_alias=True), "older": [_view(rate) for rate in found[1:]]}
        )

    @router.put("/rates/{currency}/{valid_from}", responses=examples.answer(_EXAMPLE, **_ETAG))
    async def put_rate(
        _: Annotated[Principal, staff_only("profile:write")],
        currency: Currency,
        valid_from: DayInPath,
        match: Annotated[Precondition | None, if_match_or_new()],
        stated: Stated,
        response: Response,
    ) -> RateView:
        """States a rate, or a new version of it, which needs If-Match. Orders that waited for one are counted within
        seconds; an order that was counted keeps the rate and version it has."""
        if currency not in MINOR_UNITS or currency == book.house.currency:
            raise invalid("/path/currency", "A currency of ISO 4217 other than the house's.")
        valid_to = stated.valid_to or valid_from
        if not valid_from <= valid_to < valid_from + timedelta(days=LONGEST):
            raise invalid("/valid_to", "A rate holds from its first day on, and for 366 days at most.")

        def version(number: int) -> Rate:
            return Rate(currency, valid_from, valid_to, number, stated.rate, stated.source, book.clock.now())

        async with db.transaction() as tx:
            rate = await book.state(tx, version, partial(require_or_new, match))
        response.headers["ETag"] = etag(rate.version)
        return _view(rate)

    def _view(rate: Rate) -> RateView:
        return RateView.model_validate(
            {
                "from": rate.currency,
                "to": book.house.currency,
                "valid_from": rate.valid_from,
                "valid_to": rate.valid_to,
                "rate": rate.rate,
                "source": rate.source,
                "version": rate.version,
                "stated_at": rate.stated_at,
            }
        )

    return router
