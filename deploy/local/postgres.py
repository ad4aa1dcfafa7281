"""PostgreSQL without Docker."""

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from signal import SIGINT, SIGQUIT
from types import MappingProxyType
from typing import Self

import asyncpg

from deploy.local import cluster as clusters
from deploy.local.lock import DirectoryLock
from deploy.local.ports import free_port
from deploy.local.process import ProcessFailed, last_lines, spawn, stop
from deploy.local.secrets import new_password, write_private

# For a machine of 2 cores where PostgreSQL may take about 1 GB.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "768MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# A server killed in the middle of heavy writing replays up to max_wal_size before it answers.
START_SECONDS = 120.0


class LocalPostgres:
    """A PostgreSQL server of our own in `data_dir/postgres`, on 127.0.0.1 only, passwords by SCRAM.

    Roles and passwords are kept in `passwords.json` (0600) beside the cluster. Where the kernel can tell it,
    the server shuts down when this process dies; one that stayed is stopped by the next start.
    """

    def __init__(self, home: Path, lock: DirectoryLock, settings: Mapping[str, str]) -> None:
        self._cluster = home / "cluster"
        self._log = home / "server.log"
        self._passwords_file = home / "passwords.json"
        self._passwords: dict[str, str] = {}
        self._lock = lock
        self._settings = {**SETTINGS, **settings}
        self._server: subprocess.Popen[bytes] | None = None
        self.port = 0

    @classmethod
    async def start(cls, data_dir: Path, port: int = 0, settings: Mapping[str, str] = MappingProxyType({})) -> Self:
        """Start the server, on a free port if 0, making the cluster on first use; returns when it answers.

        ``settings`` of postgresql.conf stand before ours.

        Raises DirectoryInUse if another live process serves this directory, PortTaken, and ProcessFailed with
        the log's end if the server cannot start.
        """
        home = _home(data_dir)
        postgres = cls(home, DirectoryLock(home).acquire(), settings)
        try:
            await clusters.stop_left_over(postgres._cluster)
            await postgres._create_once()
            await postgres._launch(port)
        except BaseException:
            await postgres.stop()
            raise
        return postgres

    async def stop(self, seconds: float = 20) -> None:
        """Shut down, rolling open transactions back; after `seconds` at once, and the next start recovers."""
        try:
            if self._server is not None:
                await stop(self._server, (SIGINT, seconds), (SIGQUIT, 5))
        finally:
            self._server = None
            self._lock.release()

    def admin_dsn(self) -> str:
        """The superuser on the database `postgres`."""
        return self._dsn("postgres", "postgres")

    def owner_dsn(self, name: str) -> str:
        """The owner of a service's database, for migrations; KeyError before `ensure_database(name)`."""
        return self._dsn(f"{name}_owner", name)

    def dsn(self, name: str) -> str:
        """The service's own role, which owns nothing; KeyError before `ensure_database(name)`."""
        return self._dsn(name, name)

    async def ensure_database(self, name: str) -> None:
        """Make database `name`, its owner `<name>_owner` and the service's role `<name>` if missing.

        The service may connect and use schema public; what it may do with a table is for migrations to grant.
        Other services' roles may not connect. `name`: a letter, then up to 49 of `[a-z0-9_]`; else ValueError.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,49}", name):
            raise ValueError(f"not a database name: {name!r}")
        owner = f"{name}_owner"
        for role in (owner, name):
            self._passwords.setdefault(role, new_password())
        self._save_passwords()
        admin = await asyncpg.connect(self.admin_dsn())
        try:
            for role in (owner, name):
                if not await admin.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                    await admin.execute(f'CREATE ROLE "{role}" LOGIN')
                await admin.execute(f"ALTER ROLE \"{role}\" PASSWORD '{self._passwords[role]}'")
            if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
                await admin.execute(f'CREATE DATABASE "{name}" OWNER "{owner}"')
            await admin.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
            await admin.execute(f'GRANT CONNECT ON DATABASE "{name}" TO "{name}"')
        finally:
            await admin.close()
        database = await asyncpg.connect(self.owner_dsn(name))
        try:
            await database.execute(f'GRANT USAGE ON SCHEMA public TO "{name}"')
        finally:
            await database.close()

    async def _create_once(self) -> None:
        if self._passwords_file.exists():
            self._passwords = json.loads(self._passwords_file.read_text())
        if not self._cluster.exists():
            self._passwords["postgres"] = new_password()
            self._save_passwords()
            await clusters.create(self._cluster, self._passwords["postgres"], self._log)

    async def _launch(self, port: int) -> None:
        self.port = free_port(port)
        settings = {**self._settings, "port": str(self.port)}
        self._server = spawn(
            [
                clusters.binaries() / "postgres",
                *("-D", self._cluster),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            log=self._log,
            death_signal=SIGINT,
            identity=clusters.identity_for(self._cluster),
        )
        if not await self._ready(self._server):
            raise ProcessFailed(f"PostgreSQL did not start on port {self.port}\n{last_lines(self._log)}")

    async def _ready(self, server: subprocess.Popen[bytes]) -> bool:
        status = self._cluster / "postmaster.pid"
        deadline = time.monotonic() + START_SECONDS
        while server.poll() is None and time.monotonic() < deadline:
            try:
                lines = status.read_text().split("\n")
            except FileNotFoundError:
                lines = []
            # Line 1 is the server's pid, line 8 its state (storage/pidfile.h).
            if lines[:1] == [str(server.pid)] and len(lines) > 7 and lines[7].strip() == "ready":
                return True
            await asyncio.sleep(0.01)
        return False

    def _dsn(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self._passwords[role]}@127.0.0.1:{self.port}/{database}"

    def _save_passwords(self) -> None:
        write_private(self._passwords_file, json.dumps(self._passwords, indent=1) + "\n")


def _home(data_dir: Path) -> Path:
    home = data_dir.resolve() / "postgres"
    # Others may pass, so that the server's user needs no capability where the folders above are open.
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    return home
