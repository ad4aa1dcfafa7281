"""The embedded gateway: every service under its prefix, on one port, and the virtual clock where there is one."""

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI
from pydantic import BaseModel, Field, SecretStr
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from deploy.virtual_time import Timeline
from deploy.vitals import Vitals, vitals
from shared.clock import VirtualClock
from shared.http.app import create_app
from shared.http.auth import Principal, public, staff_only
from shared.http.problems import ProblemError, documented, invalid
from shared.http.routing import Router
from shared.http.settings import HttpSettings

if TYPE_CHECKING:
    from deploy.system import System

LONGEST = timedelta(days=3660)


class Advance(BaseModel):
    """How far to set the clock forward: an ISO 8601 duration such as P1D or PT90M."""

    by: timedelta = Field(examples=["P1D"])


class ClockView(BaseModel):
    """Where the clock stands, and how many jobs ran on the way there."""

    now: datetime
    jobs_run: int = 0


def gateway(system: "System") -> FastAPI:
    """An app with ``/profile``, ``/engagement``, ``/loyalty``, ``/churn``, and ``/clock`` in virtual time."""
    settings = HttpSettings(jwt_secret=SecretStr(system.secret))

    async def ready() -> dict[str, str]:
        return {
            f"{name}.{part}": state
            for name, service in system.services.items()
            for part, state in (await service.readiness()).items()
        }

    routers = [_front(system), _status(system)]
    if isinstance(system.clock, VirtualClock):
        routers.append(_clock(Timeline(system, system.clock)))
    app = create_app(title="Roost", service="gateway", settings=settings, routers=routers, ready=ready)
    for name, service in system.services.items():
        app.mount(f"/{name}", service.app)
    return app


def _front(system: "System") -> Router:
    router = Router(tags=["front"])

    @router.get("/", dependencies=[public()], include_in_schema=False)
    async def index(request: Request) -> Response:
        """Where to go from here."""
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/profile/docs")
        return Response("\n".join(f"{system.url}/{name}/docs" for name in system.services) + "\n")

    return router


def _status(system: "System") -> Router:
    router = Router(tags=["operations"])

    @router.get("/status")
    async def status(_: Annotated[Principal, staff_only("operations:read")]) -> Vitals:
        """Lag, outboxes, dead letters and rows of every service."""
        return await vitals(system)

    return router


def _clock(timeline: Timeline) -> Router:
    router = Router(tags=["clock"])
    lock = asyncio.Lock()

    @router.get("/clock")
    async def read(_: Annotated[Principal, staff_only("admin")]) -> ClockView:
        """Where the virtual clock stands."""
        return ClockView(now=timeline.clock.now())

    @router.post("/clock/advance", responses={503: documented(503)})
    async def advance(_: Annotated[Principal, staff_only("admin")], by: Advance) -> ClockView:
        """Sets the clock forward, runs everything that falls due on the way, in order; answers when it is done."""
        if not timedelta(0) <= by.by <= LONGEST:
            raise invalid("/by", f"From PT0S to P{LONGEST.days}D: time never goes back.")
        async with lock:
            try:
                jobs_run = await timeline.advance(by.by)
            except (RuntimeError, TimeoutError) as error:
                raise ProblemError(503, "clock-stuck", f"It stands at {timeline.clock.now()}: {error}") from error
        return ClockView(now=timeline.clock.now(), jobs_run=jobs_run)

    return router
