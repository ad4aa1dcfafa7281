"""Migrations: alembic as the owner of a service's database; the service's own role gets rows, not tables."""

from collections.abc import Mapping
from pathlib import Path

from alembic import command, context, op
from alembic.config import Config
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from shared.http.idempotency import IDEMPOTENCY_DDL
from shared.jobs import JOBS_V1
from shared.messaging.tables import MESSAGING_V1

SHARED_V1 = (MESSAGING_V1, JOBS_V1, IDEMPOTENCY_DDL)
"""What the first migration of every service starts with."""

_SERVICES = Path(__file__).resolve().parent.parent / "services"


async def upgrade(
    service: str, owner_dsn: str, role: str, secrets: Mapping[str, str] | None = None, to: str = "head"
) -> None:
    """Brings a service's database to the newest version, or ``to`` another one.

    ``role`` is who the service connects as; ``secrets``: what a migration may need to seal what is there, by name.
    """
    engine = create_async_engine(owner_dsn.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('roost.migrate', 0))"))
            await connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            if role != make_url(owner_dsn).username:
                quoted = '"' + role.replace('"', '""') + '"'
                grant = "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT"
                await connection.execute(text(f"{grant} SELECT, INSERT, UPDATE, DELETE ON TABLES TO {quoted}"))
                await connection.execute(text(f"{grant} USAGE, SELECT ON SEQUENCES TO {quoted}"))
            await connection.run_sync(_upgrade, service, role, secrets or {}, to)
    finally:
        await engine.dispose()


def run_env() -> None:
    """What every ``migrations/env.py`` calls: runs on the connection that ``upgrade`` opened."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, version_table="schema_version", transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


def run_sql(*scripts: str) -> None:
    """Runs scripts of several statements each, in the migration's transaction; for use in migrations only."""
    adapted = op.get_bind().connection.dbapi_connection
    assert adapted is not None, "a migration has a connection"
    for script in scripts:
        adapted.run_async(lambda driver, sql=script: driver.execute(sql))


def role() -> str:
    """The service's role, for migrations that take a right away from it."""
    return str(context.config.attributes["role"])


def secret(name: str) -> str:
    """A secret of the service, for migrations that seal something. Raises LookupError where it wasn't given."""
    found: str | None = context.config.attributes["secrets"].get(name)
    if not found:
        raise LookupError(f"this database can't be migrated without the service's setting {name}")
    return found


def _upgrade(connection: Connection, service: str, role: str, secrets: Mapping[str, str], to: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_SERVICES / service / "migrations"))
    config.attributes["connection"] = connection
    config.attributes["role"] = role
    config.attributes["secrets"] = secrets
    command.upgrade(config, to)
