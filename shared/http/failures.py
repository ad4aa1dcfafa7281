"""What FastAPI and the domain raise, turned into problems."""

import http.client
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from shared.http.bodies import pointer
from shared.http.gone import or_gone
from shared.http.problems import MAX_ERRORS, FieldError, ProblemError, render

DomainErrors = Mapping[type[Exception], Callable[[Any], ProblemError]]


def handle_failures(app: FastAPI, domain_errors: DomainErrors) -> None:
    """Renders these kinds of exception as problems; `domain_errors` says how the domain's own come out."""

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return render(await or_gone(request, error))

    async def invalid_input(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return render(_problem_of_input(error.errors(), error.body))

    async def by_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return render(_problem_of_framework(request, error))

    async def by_domain(request: Request, error: Exception) -> Response:
        mapped = next(domain_errors[kind] for kind in type(error).__mro__ if kind in domain_errors)
        return render(await or_gone(request, mapped(error)))

    app.add_exception_handler(ProblemError, known)
    app.add_exception_handler(RequestValidationError, invalid_input)
    app.add_exception_handler(HTTPException, by_framework)
    for kind in domain_errors:
        app.add_exception_handler(kind, by_domain)


def _problem_of_input(errors: Sequence[Any], body: Any) -> ProblemError:
    found = [
        FieldError(pointer=_pointer_of(error["loc"], body), message=error["msg"].removeprefix("Value error, "))
        for error in errors[:MAX_ERRORS]
    ]
    return ProblemError(422, "invalid-request", "The request isn't valid; errors says where.", errors=found)


def _pointer_of(loc: Sequence[str | int], body: Any) -> str:
    """The place in the request. Pydantic's names of union members, which no body has, fall out."""
    if loc[0] != "body":
        return pointer(loc)
    place: list[str | int] = []
    at = body
    for index, part in enumerate(loc[1:], start=2):
        if _is_there(part, at):
            at = at[part]
        elif index < len(loc) or not isinstance(at, dict):
            continue
        place.append(part)
    return pointer(place)


def _is_there(part: str | int, at: Any) -> bool:
    return part in at if isinstance(at, dict) else isinstance(at, list) and part in range(len(at))


def _problem_of_framework(request: Request, error: HTTPException) -> ProblemError:
    status = error.status_code
    headers = dict(error.headers or {})
    if status == 405:
        headers["Allow"] = ", ".join(_allowed(request))
    phrase = http.client.responses.get(status, "Error")
    detail = error.detail if error.detail and error.detail != phrase else f"{phrase}."
    return ProblemError(status, _CODES.get(status, f"http-{status}"), detail, headers=headers)


_CODES = {400: "bad-request", 404: "not-found", 405: "method-not-allowed", 413: "body-too-large"}


def _allowed(request: Request) -> list[str]:
    # Starlette names the methods of the first route of this path only; RFC 9110, 15.5.6 wants them all.
    methods: set[str] = set()
    for route in request.app.router.routes:
        if route.matches(request.scope)[0] != Match.NONE:
            methods |= route.methods or set()
    return sorted(methods)
