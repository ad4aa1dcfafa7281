"""Loops that end when they are told to, even while they wait for something that never comes."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any


async def until_stopped(
    stopping: asyncio.Event, work: Coroutine[Any, Any, None], grace: Callable[[], float]
) -> None:
    """Runs ``work``; once ``stopping`` is set it may go on for ``grace()`` seconds, then it is cancelled.

    Raises what the work raises.
    """
    task = asyncio.create_task(work)
    bell = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((task, bell), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait((task,), timeout=grace())
    finally:
        bell.cancel()
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Waits so long, or until ``stopping`` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
