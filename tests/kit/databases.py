"""Databases for tests: a migrated template of each service, copied once and swept clean for each next test."""

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.db import Database
from shared.messaging.erased import ERASED_V1
from shared.migrations import SHARED_V1, upgrade

SHARED = "shared"
"""The name of a database that has only what every service has."""

_numbers = itertools.count(1)

# What a fresh copy holds is kept in the schema ``kit``; a sweep puts it back in a few milliseconds, where a copy and
# the first connection to it take a hundred. Triggers rest meanwhile: ledgers refuse DELETE. Whatever changed the schema
# leaves a word in kit.changes, and its database is not used again.
_REMEMBER = """
CREATE SCHEMA kit;
CREATE TABLE kit.changes (tag text);
CREATE FUNCTION kit.note() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO kit.changes SELECT command_tag FROM pg_event_trigger_ddl_commands()
    WHERE schema_name IS DISTINCT FROM 'pg_temp' LIMIT 1;
END $$;
CREATE FUNCTION kit.note_drop() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO kit.changes SELECT 'DROP' FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary LIMIT 1;
END $$;
CREATE TABLE kit.tables (name regclass, seeds regclass);
CREATE TABLE kit.sequences AS
SELECT c.oid::regclass AS name, s.seqstart AS start FROM pg_class c JOIN pg_sequence s ON s.seqrelid = c.oid;
DO $$
DECLARE
    found regclass;
    seeded boolean;
    seeds text;
BEGIN
    FOR found IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', found) INTO seeded;
        seeds := CASE WHEN seeded THEN format('kit.seeds_%s', found::oid) END;
        IF seeded THEN
            EXECUTE format('CREATE TABLE %s AS TABLE %s', seeds, found);
        END IF;
        INSERT INTO kit.tables VALUES (found, seeds::regclass);
    END LOOP;
END $$;
CREATE FUNCTION kit.sweep() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    one record;
    used boolean;
BEGIN
    IF EXISTS (SELECT FROM kit.changes) THEN
        RETURN false;
    END IF;
    SET LOCAL session_replication_role = replica;
    FOR one IN SELECT name, seeds FROM kit.tables LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', one.name) INTO used;
        IF used OR one.seeds IS NOT NULL THEN
            EXECUTE format('DELETE FROM %s', one.name);
        END IF;
        IF one.seeds IS NOT NULL THEN
            EXECUTE format('INSERT INTO %s OVERRIDING SYSTEM VALUE TABLE %s', one.name, one.seeds);
        END IF;
    END LOOP;
    PERFORM setval(name, start, false) FROM kit.sequences WHERE pg_sequence_last_value(name) IS NOT NULL;
    RETURN true;
END $$;
CREATE EVENT TRIGGER kit_note ON ddl_command_end EXECUTE FUNCTION kit.note();
CREATE EVENT TRIGGER kit_note_drop ON sql_drop EXECUTE FUNCTION kit.note_drop();
"""
_LEAVE = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"


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
        self._clean: dict[str, list[str]] = {}
        self._prefix = f"test_{os.getpid()}"

    @asynccontextmanager
    async def fresh(self, service: str | None) -> AsyncIterator[TestDatabase]:
        """A database as the service's migrations leave it, or an empty one."""
        clean = self._clean.setdefault(service, []) if service else []
        name = clean.pop() if clean else await self._copied(service)
        try:
            yield TestDatabase(self._dsn("roost_service", name), self._dsn("roost_owner", name))
        finally:
            if service and await self._swept(name):
                clean.append(name)
            else:
                await self._drop(name)

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
        """Takes all databases away again, for a server that outlives the tests."""
        for name in (*self._templates, *itertools.chain(*self._clean.values())):
            await self._drop(name)

    async def _copied(self, service: str | None) -> str:
        admin = await asyncpg.connect(self.admin_dsn)
        name = f"{self._prefix}_{next(_numbers)}"
        try:
            await self._ensure_roles(admin)
            template = await self._template(admin, service) if service else "template1"
            # Copied as files: half the price of writing each page to the log, to make and to drop.
            copied = f'TEMPLATE "{template}" STRATEGY file_copy OWNER roost_owner'
            await admin.execute(f'CREATE DATABASE "{name}" {copied}')
        finally:
            await admin.close()
        if service:
            async with self._inside(name) as inside:
                await inside.execute(_REMEMBER)
        return name

    async def _swept(self, name: str) -> bool:
        async with self._inside(name) as inside:
            await inside.execute(_LEAVE, name)
            swept: bool = await inside.fetchval("SELECT kit.sweep()")
        return swept

    async def _drop(self, name: str) -> None:
        admin = await asyncpg.connect(self.admin_dsn)
        try:
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        finally:
            await admin.close()

    @asynccontextmanager
    async def _inside(self, name: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        parts = urlsplit(self.admin_dsn)
        inside = await asyncpg.connect(urlunsplit(parts._replace(path=f"/{name}")))
        try:
            yield inside
        finally:
            await inside.close()

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
        for ddl in (*SHARED_V1, ERASED_V1):
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
