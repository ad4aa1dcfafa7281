import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from stat import S_IMODE

import asyncpg
import pytest

from deploy.local.cluster import identity_for, serves
from deploy.local.lock import DirectoryInUse
from deploy.local.ports import PortTaken
from deploy.local.postgres import LocalPostgres
from deploy.local.process import run
from tests.integration.local.children import alive, eventually, holder

pytestmark = pytest.mark.asyncio

IMPORTS = "from deploy.local import postgres"
WITHOUT_DEATH_SIGNAL = f"{IMPORTS}\npostgres.SIGINT = 0"
PID = "thing._server.pid"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("closed")
    folder.chmod(0o700)
    return folder / "data"


@asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[LocalPostgres]:
    postgres = await LocalPostgres.start(data_dir)
    try:
        await postgres.ensure_database("profile")
        yield postgres
    finally:
        await postgres.stop()


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def test_programs_in_a_folder_closed_to_others_are_found_by_whom_they_run_as(tmp_path: Path) -> None:
    """PostgreSQL asks access(2) for its own programs, which heeds no capability by itself."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "program"
    program.touch(mode=0o755)
    looks = "import os, sys; sys.exit(not os.access(sys.argv[1], os.R_OK | os.X_OK))"
    command = [sys.executable, "-I", "-S", "-c", looks, str(program)]
    await run(command, log=tmp_path / "log", seconds=30, identity=identity_for(closed / "cluster"))


async def test_folders_above_the_data_directory_stay_as_they_were(data_dir: Path) -> None:
    above = data_dir.parents
    before = [(folder.stat().st_mode, folder.stat().st_uid) for folder in above]
    async with running(data_dir):
        pass
    assert [(folder.stat().st_mode, folder.stat().st_uid) for folder in above] == before


async def test_data_and_passwords_survive_a_restart(data_dir: Path) -> None:
    async with running(data_dir) as postgres:
        async with connected(postgres.owner_dsn("profile")) as owner:
            await owner.execute("CREATE TABLE kept AS SELECT 42 AS answer; GRANT SELECT ON kept TO profile")
        password = postgres.dsn("profile").split("@")[0]
    async with running(data_dir) as postgres:
        assert postgres.dsn("profile").split("@")[0] == password
        async with connected(postgres.dsn("profile")) as service:
            assert await service.fetchval("SELECT answer FROM kept") == 42


async def test_a_commit_is_on_disk_and_only_this_machine_gets_in_by_password(data_dir: Path) -> None:
    async with running(data_dir) as postgres, connected(postgres.admin_dsn()) as admin:
        for setting, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "listen_addresses": "127.0.0.1",
            "data_checksums": "on",
        }.items():
            assert await admin.fetchval("SELECT current_setting($1)", setting) == value
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(postgres.admin_dsn(), password="guess")
    assert S_IMODE((data_dir / "postgres" / "passwords.json").stat().st_mode) == 0o600


async def test_a_service_can_neither_make_tables_nor_own_its_database(data_dir: Path) -> None:
    async with running(data_dir) as postgres, connected(postgres.dsn("profile")) as service:
        for statement in (
            "CREATE TABLE mine ()",
            "CREATE SCHEMA mine",
            "ALTER DATABASE profile RENAME TO mine",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(statement)
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'profile'"
        assert await service.fetchval(owner) == "profile_owner"


async def test_a_service_cannot_enter_the_database_of_another(data_dir: Path) -> None:
    async with running(data_dir) as postgres:
        await postgres.ensure_database("loyalty")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(postgres.dsn("loyalty"), database="profile")


async def test_a_name_that_would_need_quoting_is_refused(data_dir: Path) -> None:
    async with running(data_dir) as postgres:
        with pytest.raises(ValueError, match="not a database name"):
            await postgres.ensure_database('x"; DROP DATABASE profile; --')


async def test_a_second_instance_is_refused_by_name_and_pid(data_dir: Path) -> None:
    async with running(data_dir) as postgres:
        with pytest.raises(DirectoryInUse, match=rf"process {os.getpid()} \({Path(sys.argv[0]).name}\)"):
            await LocalPostgres.start(data_dir)
        async with connected(postgres.admin_dsn()) as admin:
            assert await admin.fetchval("SELECT 1") == 1


async def test_a_port_in_use_is_named(data_dir: Path, tmp_path: Path) -> None:
    async with running(data_dir) as postgres:
        with pytest.raises(PortTaken, match=str(postgres.port)):
            await LocalPostgres.start(tmp_path, postgres.port)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_the_server_ends_when_its_parent_is_killed(data_dir: Path) -> None:
    async with holder(data_dir, "postgres.LocalPostgres", PID, IMPORTS) as (_, server):
        assert serves(server, data_dir / "postgres" / "cluster")
    await eventually(lambda: not alive(server))


async def test_a_server_left_over_by_a_killed_parent_is_stopped_and_its_data_served(data_dir: Path) -> None:
    async with running(data_dir) as postgres, connected(postgres.owner_dsn("profile")) as owner:
        await owner.execute("CREATE TABLE survivors AS SELECT 7 AS answer")
    async with holder(data_dir, "postgres.LocalPostgres", PID, WITHOUT_DEATH_SIGNAL) as (_, left_over):
        pass
    assert alive(left_over)
    async with running(data_dir) as postgres:
        assert not alive(left_over)
        async with connected(postgres.owner_dsn("profile")) as owner:
            assert await owner.fetchval("SELECT answer FROM survivors") == 7


async def test_a_stale_pid_file_that_names_a_stranger_does_not_stop_the_start(data_dir: Path) -> None:
    async with running(data_dir):
        pass
    stranger = f"{os.getppid()}\n{data_dir / 'postgres' / 'cluster'}\n"
    (data_dir / "postgres" / "cluster" / "postmaster.pid").write_text(stranger)
    async with running(data_dir):
        assert alive(os.getppid())
