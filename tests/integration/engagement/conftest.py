from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.integration.engagement.house import Engagement, open_engagement
from tests.integration.engagement.outside import Mailbox, Profile, mail_server, profile_server
from tests.kit.databases import TestDatabase


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A real SMTP server and what it took."""
    with mail_server() as opened:
        yield opened


@pytest_asyncio.fixture
async def profile() -> AsyncIterator[Profile]:
    """A real HTTP server that answers as profile does."""
    async with profile_server() as opened:
        yield opened


@pytest_asyncio.fixture
async def engagement(test_database: TestDatabase, mailbox: Mailbox, profile: Profile) -> AsyncIterator[Engagement]:
    """Engagement with mail server and profile."""
    async with open_engagement(test_database, profile_url=profile.url, smtp_port=mailbox.port) as opened:
        yield opened


@pytest_asyncio.fixture
async def without_mail(test_database: TestDatabase) -> AsyncIterator[Engagement]:
    """Engagement without a mail server: people do it all."""
    async with open_engagement(test_database) as opened:
        yield opened
