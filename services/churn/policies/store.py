"""The table ``policies``: versions that are only ever added."""

from datetime import datetime

from shared.db import Row, Tx, execute, fetch

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('churn.policies', 0))"
_CURRENT = "SELECT version, body, created_at FROM policies ORDER BY version DESC LIMIT 1"
_ADD = "INSERT INTO policies (version, body, created_at) VALUES (:version, :body, :now)"


async def lock(tx: Tx) -> None:
    """One writer at a time; the version is read by a statement after this one."""
    await fetch(tx, _LOCK)


async def current(tx: Tx) -> Row:
    """The newest version; the migration made the first."""
    return (await fetch(tx, _CURRENT))[0]


async def add(tx: Tx, version: int, body: str, now: datetime) -> None:
    """Writes a version down."""
    await execute(tx, _ADD, version=version, body=body, now=now)
