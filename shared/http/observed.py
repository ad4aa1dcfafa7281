"""Around every request: its ids, its log line, its metrics, and the net under it. Plain ASGI, for speed."""

import re
import time
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.db import is_transient
from shared.http.problems import ProblemError, render
from shared.observability import TraceContext, current_traceparent, log_plainly, new_trace, parse_traceparent

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:~-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})
_STATUS = "roost.status"
_IDS = "roost.ids"
_CLIENT_LEFT = 499
_BROKEN = ProblemError(500, "internal-error", "Something broke on our side; the trace id names it.")
_AGAIN = ProblemError(
    503, "try-again", "The database was busy or away: nothing was done. Ask again, with the same key.",
    headers={"Retry-After": "1"},
)  # fmt: skip
log = structlog.get_logger(__name__)


def status_of(scope: Scope) -> int:
    """The status of a request's answer, once it was begun; 0 before."""
    status: int = scope.get(_STATUS, 0)
    return status


def request_id_of(scope: Scope) -> str:
    """The id of a request, as it was answered."""
    request_id: str = scope[_IDS][0]
    return request_id


class Observed:
    """Gives a request its `X-Request-Id` and `traceparent`, logs it and counts it by route template.

    Paths and queries stand in no log and no metric: they may carry names, coupon codes and link tokens.
    """

    def __init__(self, app: ASGIApp, service: str, registry: CollectorRegistry) -> None:
        self.app = app
        self.service = service
        self._requests = Counter(
            "roost_http_requests",
            "Requests answered",
            ("service", "method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "roost_http_request_seconds",
            "Time to the last byte of the answer",
            ("service", "method", "route"),
            registry=registry,
        )
        self._series: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI calls it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # An app mounted in another shares its scope: one request has one pair of ids, and says it once.
        mounted = _IDS in scope
        request_id, trace = scope[_IDS] = scope[_IDS] if mounted else _ids(scope)
        traceparent = str(trace)
        echoed = () if mounted else ((b"x-request-id", request_id.encode()), (b"traceparent", traceparent.encode()))
        scope[_STATUS] = 0

        async def send_with_ids(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope[_STATUS] = message["status"]
                message["headers"] = [*message.get("headers", ()), *echoed]
            await send(message)

        started = time.perf_counter()
        token = current_traceparent.set(traceparent)
        bound = structlog.contextvars.bind_contextvars(
            service=self.service, request_id=request_id, trace_id=trace.trace_id
        )
        try:
            await self.app(scope, receive, send_with_ids)
        finally:
            self._record(scope, time.perf_counter() - started, request_id, trace.trace_id)
            structlog.contextvars.reset_contextvars(**bound)
            current_traceparent.reset(token)

    def _record(self, scope: Scope, seconds: float, request_id: str, trace_id: str) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path_format", "unmatched")
        status = scope[_STATUS] or 500
        series = self._series.get((method, route, status))
        if series is None:
            series = self._series[method, route, status] = (
                self._requests.labels(self.service, method, route, status),
                self._seconds.labels(self.service, method, route),
            )
        series[0].inc()
        series[1].observe(seconds)
        if status >= 500 or route not in _QUIET:
            log_plainly(
                "http.request",
                service=self.service,
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 3),
                request_id=request_id,
                trace_id=trace_id,
            )


class Net:
    """Catches what nothing else caught: the log gets the traceback, the client a problem without it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI calls it."""
        try:
            await self.app(scope, receive, send)
        except ClientDisconnect:
            scope[_STATUS] = scope.get(_STATUS) or _CLIENT_LEFT
        except Exception as error:
            if scope["type"] != "http":
                raise
            again = is_transient(error)
            if again:
                log.warning("http.transient", error_type=type(error).__name__)
            else:
                log.exception("http.failed", error_type=type(error).__name__)
            if scope.get(_STATUS):
                # The answer has begun: only a broken connection can tell the client that it isn't whole.
                raise
            await render(_AGAIN if again else _BROKEN)(scope, receive, send)


def _ids(scope: Scope) -> tuple[str, TraceContext]:
    request_id = trace = None
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value.decode("latin-1")):
            request_id = value.decode("latin-1")
        elif name == b"traceparent":
            trace = parse_traceparent(value.decode("latin-1"))
    trace = trace or new_trace()
    return request_id or trace.trace_id, trace
