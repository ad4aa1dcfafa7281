"""Loyalty's API in a process of its own, with a route beside its own that answers nothing; and the jobs that are named.

``python -m deploy.bench.loyalty.serving [JOB …]``; the environment tells the rest, as it tells ``roost serve``.
"""

import contextlib
import sys
from collections.abc import Sequence
from typing import Annotated

import uvloop

from deploy.catalogue import entry
from deploy.environment import ServerSettings, deployed
from deploy.server import listen, serving
from deploy.up import stop_on_signals
from shared.http.auth import Principal, requires
from shared.http.routing import Router
from shared.observability import configure_logging

EMPTY = "/empty/{id}"
ACCOUNT = "/accounts/{customer_id}"


def empty_router() -> Router:
    """A route that passes what every route passes: middleware, log line, token, scope, a path parameter."""
    router = Router()

    @router.get(EMPTY)
    async def empty(who: Annotated[Principal, requires("loyalty:read")], id: str) -> dict[str, str]:
        """Nothing."""
        return {}

    return router


async def serve(jobs: Sequence[str]) -> None:
    """Until SIGTERM or SIGINT."""
    server, found = ServerSettings(), deployed("loyalty")
    configure_logging(json=True, level=server.log_level)
    stopped = stop_on_signals()
    service = entry("loyalty").build(found.surroundings, found.settings)
    routes = service.app.router.routes
    beside = next(n for n, route in enumerate(routes) if getattr(route, "path", "") == ACCOUNT)
    routes[beside:beside] = empty_router().routes
    service.runner.jobs = [job for job in service.runner.jobs if job.name in jobs]
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(service.stop)
        listener = stack.enter_context(contextlib.closing(listen(server.host, server.port)))
        await service.start(["api", "jobs"] if jobs else ["api"])
        await stack.enter_async_context(serving(service.app, listener))
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1:]))
