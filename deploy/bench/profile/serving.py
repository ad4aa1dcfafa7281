"""Profile's API in a process of its own, with a route beside its own that answers nothing.

``python -m deploy.bench.profile.serving``; the environment tells the rest, as it tells ``roost serve``.
"""

import contextlib
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
VIEW = "/customers/{customer_id}"


def empty_router() -> Router:
    """A route that passes what every route passes: middleware, log line, token, scope, a path parameter."""
    router = Router()

    @router.get(EMPTY)
    async def empty(who: Annotated[Principal, requires("profile:read")], id: str) -> dict[str, str]:
        """Nothing."""
        return {}

    return router


async def serve() -> None:
    """Until SIGTERM or SIGINT."""
    server, found = ServerSettings(), deployed("profile")
    configure_logging(json=True, level=server.log_level)
    stopped = stop_on_signals()
    service = entry("profile").build(found.surroundings, found.settings)
    routes = service.app.router.routes
    beside = next(n for n, route in enumerate(routes) if getattr(route, "path", "") == VIEW)
    routes[beside:beside] = empty_router().routes
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(service.stop)
        listener = stack.enter_context(contextlib.closing(listen(server.host, server.port)))
        await service.start(["api"])
        await stack.enter_async_context(serving(service.app, listener))
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(serve())
