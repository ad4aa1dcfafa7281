"""The router of every service: gates first, then the body, then FastAPI; and all of it documented."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from shared.http.auth import Access, Public
from shared.http.bodies import BoundedRequest, is_json
from shared.http.gates import BodyLimit, Mark, gates_of, pass_gates, without_spent_gates
from shared.http.problems import ProblemError, documented, invalid


class Route(APIRoute):
    """A route that answers in the order 401, 403, 400 (no key), 428, then what its input deserves.

    Complete when it is first asked for more than its path: FastAPI takes a millisecond and 40 KB for each, and
    of a hundred a start, a worker or a demo needs a few. TypeError then, and no answer, if it doesn't say who may call
    it, by `requires`, `staff_only` or `public`.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.path, self.endpoint, self._options = path, endpoint, options
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)
        self.methods = set(options.get("methods") or ("GET",))

    def __getattr__(self, name: str) -> Any:
        if "_options" not in self.__dict__:
            raise AttributeError(name)
        self._complete(**self.__dict__.pop("_options"))
        return getattr(self, name)

    def _complete(self, **options: Any) -> None:
        super().__init__(self.path, self.endpoint, **options)
        statuses = {status for gate in self.gates for status in gate.statuses}
        if self.param_convertors:
            statuses |= {404, 422}
        if self.customer:
            statuses.add(410)
        if self.dependant.query_params or any(inner.query_params for inner in self.dependant.dependencies):
            statuses.add(422)
        if self.body_field is not None:
            statuses |= {400, 413, 415, 422}
        if not (self.methods or set()) <= {"GET"}:
            statuses.add(409)
        problems: dict[int | str, dict[str, Any]] = {status: documented(status) for status in sorted(statuses)}
        self.responses = {**problems, **self.responses}
        if parameters := [parameter for gate in self.gates for parameter in gate.parameters]:
            extra = self.openapi_extra or {}
            self.openapi_extra = {**extra, "parameters": [*extra.get("parameters", []), *parameters]}

    @property
    def customer(self) -> str | None:
        """The path's parameter that is a customer's id."""
        if "customer_id" in self.param_convertors:
            return "customer_id"
        return "id" if self.path_format.startswith("/customers/{id}") else None

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler behind the gates."""
        self.gates = gates_of(self.dependant)
        if not any(isinstance(gate, Access | Public) for gate in self.gates):
            raise TypeError(f"{self.methods} {self.path} doesn't say who may call it")
        without_spent_gates(self.dependant)
        inner = super().get_route_handler()
        gates = [gate for gate in self.gates if not isinstance(gate, Mark)]
        limit = next((gate.max_bytes for gate in self.gates if isinstance(gate, BodyLimit)), None)
        reads_body = not (self.methods or set()) <= {"GET"}
        wants_json = self.body_field is not None

        async def handler(request: Request) -> Response:
            await pass_gates(gates, request)
            _refuse_nul(request)
            if reads_body:
                max_bytes = limit if limit is not None else request.app.state.http.max_body_bytes
                request = BoundedRequest(request.scope, request.receive, max_bytes)
                if wants_json and await request.body():
                    if not is_json(request.headers.get("content-type", "")):
                        raise ProblemError(415, "unsupported-media-type", "Send JSON, as application/json.")
                    await request.json()
            return await inner(request)

        return handler


class Router(APIRouter):
    """An APIRouter of `Route`s. List routers in `create_app`; they aren't included into one another."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"route_class": Route, **options})


def _refuse_nul(request: Request) -> None:
    # PostgreSQL's text can't hold U+0000, and the error would surface as ours.
    if "\0" in request.scope["path"]:
        raise invalid("/path", "U+0000 is not allowed.")
    if b"%00" in request.scope["query_string"]:
        raise invalid("/query", "U+0000 is not allowed.")
