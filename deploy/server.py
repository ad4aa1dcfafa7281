"""Serving an app over HTTP in this process, stopped by its owner and not by uvicorn's own signal handlers."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from typing import Any

import uvicorn

# Longer than what stands before us keeps a connection that rests (load balancers and nginx: 60 s): who closes first
# while the other sends, loses a request.
KEEP_ALIVE_SECONDS = 75


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises OSError when the port is taken."""
    return socket.create_server((host, port), backlog=1024)


@contextlib.asynccontextmanager
async def serving(app: Any, listener: socket.socket, root_path: str = "") -> AsyncIterator[str]:
    """Serves until the block ends, then lets requests in hand finish, within 5 s; yields the URL.

    ``root_path``: the prefix under which clients see the app, taken off before requests arrive here.
    """
    config = uvicorn.Config(
        app, root_path=root_path, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )  # fmt: skip
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    try:
        while not server.started:
            if task.done():
                task.result()
                raise RuntimeError("the HTTP server ended before it started")
            await asyncio.sleep(0.005)
        host, port = listener.getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await task
