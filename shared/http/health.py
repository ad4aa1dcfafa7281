"""The routes that every service has for those who run it: liveness, readiness, metrics."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from fastapi import Depends
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from shared.http.auth import Access, Public
from shared.http.problems import ProblemError, documented
from shared.http.routing import Router
from shared.http.settings import HttpSettings

GOOD = frozenset({"ok", "ready", "standby"})
Ready = Callable[[], Awaitable[dict[str, str]]]
log = structlog.get_logger(__name__)


class Health(BaseModel):
    """`checks`: each thing the service leans on, and how it is."""

    model_config = ConfigDict(json_schema_extra={"example": {"status": "ready", "checks": {"database": "ready"}}})

    status: str
    checks: dict[str, str] = {}


def health_router(ready: Ready, registry: CollectorRegistry, settings: HttpSettings) -> Router:
    """`/health/live`, `/health/ready`, `/metrics`.

    `ready` answers each thing needed with "ok", "ready" or "standby", or with why not; reasons are public.
    A check that raises, or takes longer than `ready_timeout_seconds`, is a service that isn't ready.
    """
    router = Router(tags=["health"])
    open_to_all = [Depends(Public())]

    @router.get("/health/live", dependencies=open_to_all)
    async def live() -> Health:
        """Whether the process answers at all."""
        return Health(status="live")

    @router.get("/health/ready", dependencies=open_to_all, responses={503: documented(503)})
    async def readiness() -> Health:
        """Whether the service can do its work now."""
        checks = await _checks(ready, settings.ready_timeout_seconds)
        if any(state not in GOOD for state in checks.values()):
            raise ProblemError(503, "not-ready", "The service can't do its work now.", checks=checks)
        return Health(status="ready", checks=checks)

    may_read = Depends(Public() if settings.public_metrics else Access((settings.metrics_scope,), customers=False))

    @router.get("/metrics", dependencies=[may_read], include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


async def _checks(ready: Ready, timeout_seconds: float) -> dict[str, str]:
    try:
        async with asyncio.timeout(timeout_seconds):
            return await ready()
    except TimeoutError:
        return {"service": "no answer in time"}
    except Exception as error:
        # The edge of a foreign check: whatever it says, the service isn't ready, and the log knows why.
        log.warning("health.check-failed", error=error)
        return {"service": "the check failed"}
