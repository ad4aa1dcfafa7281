from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.loyalty.shop import Shop, open_shop
from tests.kit.databases import TestDatabase


@pytest_asyncio.fixture
async def shop(test_database: TestDatabase) -> AsyncIterator[Shop]:
    async with open_shop(test_database) as opened:
        yield opened
