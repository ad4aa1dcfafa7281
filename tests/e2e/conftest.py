"""One running system for all end-to-end tests; each test keeps to customers of its own.

It ends with them: at rest it still takes a third of a core, from whatever tests come after.
"""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from deploy.system import System
from tests.kit.system import client, whole_system


@pytest_asyncio.fixture(scope="package")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """All four services, as users run them."""
    async with whole_system(tmp_path_factory.mktemp("system") / "roost") as running:
        yield running


@pytest_asyncio.fixture(scope="package")
async def http(system: System) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may do everything."""
    async with client(system) as made:
        yield made
