"""One database a module, emptied before each test; and logs as they are in production."""

import io
import logging
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
import pytest_asyncio
import structlog

from shared.observability import configure_logging
from tests.kit.databases import SHARED, Databases, TestDatabase

_TABLES = "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = 'public'"


@pytest_asyncio.fixture(scope="module")
async def module_database(databases: Databases) -> AsyncIterator[TestDatabase]:
    """With the tables that every service has."""
    async with databases.fresh(SHARED) as made:
        yield made


@pytest_asyncio.fixture
async def test_database(
    request: pytest.FixtureRequest, databases: Databases, module_database: TestDatabase
) -> AsyncIterator[TestDatabase]:
    """The module's, emptied; a new one without tables where the module names no ``SERVICE``."""
    if not hasattr(request.module, "SERVICE"):
        async with databases.fresh(None) as made:
            yield made
        return
    owner = await asyncpg.connect(module_database.owner_dsn)
    await owner.execute(f"TRUNCATE {await owner.fetchval(_TABLES)} RESTART IDENTITY")
    await owner.close()
    yield module_database


@pytest.fixture(autouse=True, scope="module")
def log() -> Iterator[io.StringIO]:
    """What was logged so far, JSON by the line: without that structlog would draw every traceback with its locals."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logging(level="INFO", stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)
