"""Waiting for a condition, with a deadline: never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")


async def until(condition: Callable[[], Awaitable[Found]], seconds: float = 20, *, what: str = "") -> Found:
    """The first truthy answer of ``condition``; AssertionError after ``seconds``, with the last answer."""
    deadline = time.monotonic() + seconds
    while True:
        found = await condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition} (last: {found!r})"
        await asyncio.sleep(0.02)
