"""The app factory: one call makes a service's HTTP API behave as all of them do."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from prometheus_client import CollectorRegistry

from shared.http.auth import Access, Tokens
from shared.http.failures import DomainErrors, handle_failures
from shared.http.health import Ready, health_router
from shared.http.idempotency import REPLAYED
from shared.http.observed import Net, Observed
from shared.http.problems import Problem
from shared.http.routing import Route
from shared.http.settings import HttpSettings
from shared.observability import new_registry

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]

_CORS_REQUEST = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "X-Request-Id",
    "traceparent",
)
_CORS_ANSWER = (
    "ETag",
    "Location",
    "Retry-After",
    REPLAYED,
    "X-Request-Id",
    "traceparent",
    "WWW-Authenticate",
)


async def _always_ready() -> dict[str, str]:
    return {}


def create_app(
    *,
    title: str,
    service: str,
    settings: HttpSettings,
    routers: Sequence[APIRouter],
    ready: Ready = _always_ready,
    domain_errors: DomainErrors | None = None,
    registry: CollectorRegistry | None = None,
    version: str = "1",
    description: str = "",
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """A service's app; works at the root and mounted under a prefix, several of them in one process.

    `routers`: flat, each with its own prefix, made by `Router`; TypeError names a route that wasn't. `ready`: what
    the service needs, each in `GOOD` or why not. `domain_errors`: exception type -> problem. `registry`: where the
    service's other metrics live too.
    A mounted app's lifespan doesn't run by itself: who mounts it, runs it.
    """
    registry = registry if registry is not None else new_registry()
    listed = [*routers, health_router(ready, registry, settings)]
    app = _Service(
        title=title,
        version=version,
        description=description,
        routes=_checked(listed),
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        # FastAPI's own telemetry would put rejected bodies, personal data and all, into the logs.
        telemetry={"logs": False},
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.http = settings
    app.state.tokens = Tokens(settings)
    app.state.registry = registry
    handle_failures(app, domain_errors or {})
    app.add_middleware(Net)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=_CORS_REQUEST,
            expose_headers=_CORS_ANSWER,
        )
    app.add_middleware(Observed, service=service, registry=registry)
    return app


class _Service(FastAPI):
    """Adds to FastAPI's OpenAPI document what it can't know: the problem's schema and who needs a token."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema:
            return self.openapi_schema
        document = super().openapi()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(_problem_schemas())
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
        for route in self.routes:
            if isinstance(route, Route) and route.include_in_schema:
                for method in route.methods or ():
                    operation = document["paths"][route.path_format][method.lower()]
                    operation["security"] = [{"bearer": []}] if _needs_token(route) else []
                    _restore_examples(route, operation)
        return document


def _checked(routers: Sequence[APIRouter]) -> list[Any]:
    routes = [route for router in routers for route in router.routes]
    for route in routes:
        if not isinstance(route, Route):
            raise TypeError(f"{route!r} isn't a Route: make it with shared.http.routing.Router")
    return routes


def _needs_token(route: Route) -> bool:
    return any(isinstance(gate, Access) for gate in route.gates)


def _restore_examples(route: Route, operation: dict[str, Any]) -> None:
    # FastAPI takes every null out of its document, out of examples too.
    for status, answer in route.responses.items():
        for media_type, media in answer.get("content", {}).items():
            if "example" in media:
                operation["responses"][str(status)]["content"][media_type]["example"] = media["example"]


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}
