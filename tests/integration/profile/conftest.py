from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from shared.clock import VirtualClock
from tests.integration.profile.house import Profile, profile_over, token
from tests.kit.builders import NOW
from tests.kit.databases import TestDatabase


@pytest_asyncio.fixture
async def profile(test_database: TestDatabase) -> AsyncIterator[Profile]:
    """A fresh one a test."""
    clock = VirtualClock(NOW)
    service = profile_over(test_database, clock)
    transport = httpx.ASGITransport(service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://profile", headers=token()) as client:
        yield Profile(service, clock, client)
    await service.stop()
