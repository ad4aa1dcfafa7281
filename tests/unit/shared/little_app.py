"""A small app with one route of each kind, for the tests of shared.http."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.types import ASGIApp

from shared.http.app import create_app
from shared.http.auth import Principal, issue_token, own_or_404, public, requires, staff_only
from shared.http.etags import Precondition, if_match
from shared.http.gates import BodyLimit
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import conflict
from shared.http.routing import Router
from shared.http.settings import HttpSettings

SECRET = "a secret for tests only, of the sixty-four bytes that HS512 asks for"
SETTINGS = HttpSettings.model_validate({"jwt_secret": SECRET})


class Line(BaseModel):
    sku: str
    quantity: int = Field(ge=1, le=100)


class Order(BaseModel):
    lines: list[Line]
    note: Any = None


class TooFewPoints(Exception):
    """A domain's own error."""

    def __init__(self, shortfall: int) -> None:
        self.shortfall = shortfall


def orders() -> Router:
    router = Router(prefix="/orders", tags=["orders"])

    @router.get("")
    async def numbers(caller: Annotated[Principal, staff_only("orders:read")], paging: PageRequest) -> Page[int]:
        after = paging.after(tuple[int])
        first = 0 if after is None else after[0] + 1
        rows = list(range(first, min(first + paging.limit + 1, 120)))
        return Page(items=rows[: paging.limit], next_cursor=paging.next_cursor(rows, lambda row: (row,)))

    @router.post("", status_code=201)
    async def place(
        caller: Annotated[Principal, requires("orders:write")],
        attempt: Annotated[Attempt, idempotency_key(required=True)],
        order: Order,
    ) -> Order:
        return order

    @router.get("/{customer_id}")
    async def show(customer_id: str, caller: Annotated[Principal, requires("orders:read")]) -> dict[str, str]:
        own_or_404(caller, customer_id)
        return {"customer_id": customer_id}

    @router.put("/{customer_id}")
    async def change(
        customer_id: str,
        caller: Annotated[Principal, requires("orders:write")],
        match: Annotated[Precondition, if_match()],
        order: Order,
    ) -> Order:
        match.require(7)
        return order

    return router


def echoes() -> Router:
    router = Router(dependencies=[public()])

    @router.post("/attempt")
    async def attempt(attempt: Annotated[Attempt, idempotency_key()]) -> dict[str, str | None]:
        return {"route": attempt.route, "key": attempt.key, "hmac": attempt.body_hmac.hex()}

    @router.post("/attempt/{customer_id}")
    async def attempt_for(customer_id: str, attempt: Annotated[Attempt, idempotency_key()]) -> dict[str, str | None]:
        return {"route": attempt.route, "key": attempt.key, "hmac": attempt.body_hmac.hex()}

    @router.post("/echo")
    async def echo(order: Order) -> Order:
        return order

    @router.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @router.post("/import", dependencies=[Depends(BodyLimit(3_000_000))])
    async def load(request: Request) -> int:
        return len(await request.body())

    @router.post("/spend")
    async def spend() -> None:
        raise TooFewPoints(30)

    @router.get("/broken")
    async def broken() -> None:
        raise LookupError("the password is hunter2")

    return router


def little_app(**options: Any) -> FastAPI:
    return create_app(
        **{
            "title": "Little",
            "service": "little",
            "settings": SETTINGS,
            "routers": [orders(), echoes()],
            "domain_errors": {
                TooFewPoints: lambda error: conflict(
                    "insufficient-points", "Not enough points.", shortfall=error.shortfall
                )
            },
            **options,
        }
    )


def bearer(scope: str, customer_id: str | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {issue_token(SECRET, scope, customer_id)}"}


@asynccontextmanager
async def calling(app: ASGIApp, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://little", **options) as client:
        yield client


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem in an answer, after checking that it is one in every respect."""
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["type"] == f"urn:roost:problem:{code}"
    assert body["title"]
    assert body["trace_id"] == response.headers["traceparent"].split("-")[1]
    assert isinstance(body["errors"], list)
    return body
