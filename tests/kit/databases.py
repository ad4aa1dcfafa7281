"""Databases for tests: a migrated template of each service, copied in some 50 ms for whoever needs a fresh one."""

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.db import Database
from shared.migrations import SHARED_V1, upgrade

SHARED = "shared"
"""The name of a database that has only what every service has."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class TestDatabase:
    """A service's database: as the service connects, and as its owner does."""

    __test__ = False

    dsn: str
    owner_dsn: str


class Databases:
    """Makes databases on one server. ``admin_dsn`` may create databases and roles."""

    def __init__(self, admin_dsn: str) -> None:
        self.admin_dsn = admin_dsn
        self._templates: set[str] = set()
        self._prefix = f"test_{os.getpid()}"

    @asynccontextmanager
    async def fresh(self, service: str | None) -> AsyncIterator[TestDatabase]:
        """A database with the service's migrations applied, or an empty one; dropped at the end."""
        admin = await asyncpg.connect(self.admin_dsn)
        name = f"{self._prefix}_{next(_numbers)}"
        try:
            await self._ensure_roles(admin)
            template = await self._template(admin, service) if service else "template1"
            # Copied as files: half the price of writing each page to the log, to make and to drop.
            copied = f'TEMPLATE "{template}" STRATEGY file_copy OWNER roost_owner'
            await admin.execute(f'CREATE DATABASE "{name}" {copied}')
            yield TestDatabase(self._dsn("roost_service", name), self._dsn("roost_owner", name))
        finally:
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await admin.close()

    async def migrated(self, service: str) -> TestDatabase:
        """The service's template itself, for a system that all end-to-end tests share."""
        admin = await asyncpg.connect(self.admin_dsn)
        try:
            await self._ensure_roles(admin)
            name = await self._template(admin, service)
        finally:
            await admin.close()
        return TestDatabase(self._dsn("roost_service", name), self._dsn("roost_owner", name))

    async def drop_templates(self) -> None:
        """Takes the templates away again, for a server that outlives the tests."""
        admin = await asyncpg.connect(self.admin_dsn)
        for template in self._templates:
            await admin.execute(f'DROP DATABASE IF EXISTS "{template}" WITH (FORCE)')
        await admin.close()

    async def _template(self, admin: "asyncpg.Connection[asyncpg.Record]", service: str) -> str:
        name = f"{self._prefix}_{service}"
        if name not in self._templates:
            await admin.execute(f'CREATE DATABASE "{name}" OWNER roost_owner')
            owner_dsn = self._dsn("roost_owner", name)
            await (_create_shared(owner_dsn) if service == SHARED else upgrade(service, owner_dsn, "roost_service"))
            self._templates.add(name)
        return name

    async def _ensure_roles(self, admin: "asyncpg.Connection[asyncpg.Record]") -> None:
        for role in ("roost_owner", "roost_service"):
            if not await admin.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'test'")

    def _dsn(self, role: str, database: str) -> str:
        parts = urlsplit(self.admin_dsn)
        return urlunsplit(("postgresql", f"{role}:test@{parts.hostname}:{parts.port}", f"/{database}", "", ""))


async def _create_shared(owner_dsn: str) -> None:
    owner = await asyncpg.connect(owner_dsn)
    try:
        grant = "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT"
        await owner.execute(f"{grant} SELECT, INSERT, UPDATE, DELETE ON TABLES TO roost_service")
        await owner.execute(f"{grant} USAGE, SELECT ON SEQUENCES TO roost_service")
        for ddl in SHARED_V1:
            await owner.execute(ddl)
    finally:
        await owner.close()


@asynccontextmanager
async def opened(database: TestDatabase) -> AsyncIterator[Database]:
    """The database as the service uses it."""
    db = Database(database.dsn, pool_size=8)
    try:
        yield db
    finally:
        await db.close()
