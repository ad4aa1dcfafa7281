from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.churn.house import Churn, open_churn
from tests.kit.databases import TestDatabase


@pytest_asyncio.fixture
async def churn(test_database: TestDatabase) -> AsyncIterator[Churn]:
    async with open_churn(test_database) as opened:
        yield opened
