"""Errors over HTTP: RFC 9457 problem details, raised as one exception type and rendered in one place."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from shared.observability import current_traceparent, parse_traceparent

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 100


class FieldError(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str = Field(description="JSON pointer into the body, or /query/…, /path/…, /header/…")
    message: str


class Problem(BaseModel):
    """What every error answers (RFC 9457). Some codes carry members of their own, such as `shortfall`."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable and machine-readable, kebab-case")
    errors: list[FieldError]
    trace_id: str | None


class ProblemError(Exception):
    """Ends a request with a problem; `code` is stable, `extra` become members beside the standard ones."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str = "",
        *,
        title: str | None = None,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        if not extra.keys().isdisjoint(Problem.model_fields):
            raise ValueError(f"reserved problem members: {sorted(extra.keys() & Problem.model_fields.keys())}")
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.title = title or code.replace("-", " ").capitalize()
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = extra


def render(problem: ProblemError) -> Response:
    """The problem as a response, with the id of the current trace."""
    trace = parse_traceparent(current_traceparent.get())
    content = {
        "type": f"urn:roost:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "errors": [error.model_dump() for error in problem.errors[:MAX_ERRORS]],
        "trace_id": trace.trace_id if trace else None,
        **problem.extra,
    }
    body = msgspec.json.encode(content, enc_hook=str)
    return Response(body, problem.status, {"cache-control": "no-store", **problem.headers}, MEDIA_TYPE)


def not_found(detail: str = "There is nothing here that you may see.") -> ProblemError:
    """404 `not-found`: it isn't there, or isn't the caller's to see."""
    return ProblemError(404, "not-found", detail)


def conflict(code: str, detail: str, **extra: Any) -> ProblemError:
    """409: the request is well-formed, the state doesn't allow it."""
    return ProblemError(409, code, detail, **extra)


def unauthorized(detail: str, *, error: str | None = None) -> ProblemError:
    """401 `unauthorized` with the Bearer challenge of RFC 6750, 3; `error` is set where a token was sent."""
    challenge = f'Bearer realm="roost", error="{error}"' if error else 'Bearer realm="roost"'
    return ProblemError(401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})


def forbidden(detail: str, *, code: str = "forbidden") -> ProblemError:
    """403: the caller is known, and may not."""
    return ProblemError(403, code, detail)


def precondition_required() -> ProblemError:
    """428 `precondition-required`: a write without If-Match."""
    return ProblemError(428, "precondition-required", "Send If-Match with the ETag of what you change.")


def precondition_failed(current: str) -> ProblemError:
    """412 `precondition-failed`: the resource has changed; `current` is its ETag now."""
    detail = "The resource has changed since you read it. Read it again."
    return ProblemError(412, "precondition-failed", detail, headers={"ETag": current})


def invalid(pointer: str, message: str, *, code: str = "invalid-request", status: int = 422) -> ProblemError:
    """422: one thing is wrong, and `pointer` says where."""
    return ProblemError(status, code, message, errors=[FieldError(pointer=pointer, message=message)])


_MEANINGS = {
    400: "Malformed, or a needed header is missing",
    401: "No valid token",
    403: "The token doesn't allow it",
    404: "Not there, or not yours to see",
    409: "The present state doesn't allow it",
    410: "Erased, for good",
    412: "Changed since it was read",
    413: "Body too large",
    415: "The body is of another type",
    422: "Understood, but not valid",
    428: "If-Match is missing",
    503: "Not able to answer now",
}


def documented(status: int) -> dict[str, Any]:
    """The OpenAPI entry of a problem with this status."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": _MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {status: documented(status) for status in _MEANINGS}
"""For `responses=`, where a route answers with more problems than its `Router` documents by itself."""
