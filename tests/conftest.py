"""What the suites share: one PostgreSQL and one broker a session, a fresh database a test that asks for one."""

import gc
import os
from collections.abc import AsyncIterator
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from shared.db import Database
from shared.settings import KafkaSettings
from tests.kit import infra
from tests.kit.databases import Databases, TestDatabase, opened

# How long an example takes says how busy the machine is. To make a failing one small takes minutes on a database: the
# test that is run again by itself does.
_PHASES = [one for one in hypothesis.Phase if one != hypothesis.Phase.shrink or "PYTEST_XDIST_WORKER" not in os.environ]
hypothesis.settings.register_profile("roost", deadline=None, phases=_PHASES)
hypothesis.settings.load_profile("roost")


END_TO_END = Path("tests/e2e")
ALONE = ("test_bench.py", "test_demo.py", "test_redemption_kills.py", "test_restart.py", "test_virtual_clock.py")
"""End-to-end tests that start what they need themselves; all others share one system."""


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Each file's tests to one process, and to one all those that share a system: it is started once, and at rest,
    while files of other kinds run, it would still take a third of a core."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.split("::", 1)[0])
        return str(END_TO_END if file.parent == END_TO_END and file.name not in ALONE else file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile | None:
    """For ``--dist loadfile``."""
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Few and long ones first: begun last, one of them would run alone at the end."""
    items.sort(key=lambda item: (item.path.parent.name != END_TO_END.name, item.path.name not in ALONE))


def pytest_collection_finish() -> None:
    """What stands now stays, and each test builds applications: garbage is looked for seldom, and not in the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest_asyncio.fixture(scope="session")
async def databases(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Databases]:
    """A server on which to make databases."""
    async with infra.postgres(tmp_path_factory.mktemp("postgres")) as admin_dsn:
        made = Databases(admin_dsn)
        yield made
        await made.drop_templates()


@pytest_asyncio.fixture(scope="session")
async def kafka_settings(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KafkaSettings]:
    """A broker, shared by all; tests keep apart by their own topics or groups."""
    async with infra.broker(tmp_path_factory.mktemp("broker")) as (settings, _):
        yield settings


@pytest_asyncio.fixture
async def test_database(request: pytest.FixtureRequest, databases: Databases) -> AsyncIterator[TestDatabase]:
    """A fresh database of the service that the test's module names as ``SERVICE``; an empty one without."""
    async with databases.fresh(getattr(request.module, "SERVICE", None)) as made:
        yield made


@pytest_asyncio.fixture
async def database(test_database: TestDatabase) -> AsyncIterator[Database]:
    """The same, as the service itself connects."""
    async with opened(test_database) as db:
        yield db


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """An empty data directory."""
    return tmp_path / "roost"
