"""The table ``models``: versions that are only ever added; one of them is active."""

from collections.abc import Sequence
from datetime import datetime

from shared.db import Row, Tx, execute, fetch

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('churn.models', 0))"
_COLUMNS = "id, version, params, purchase_value, evaluation, status, trained_at"
_ACTIVE = f"SELECT {_COLUMNS} FROM models WHERE status = 'active'"
_FIND = f"SELECT {_COLUMNS} FROM models WHERE version = :version"
_NEWEST_FIRST = f"SELECT {_COLUMNS} FROM models WHERE id < :before ORDER BY id DESC LIMIT :limit"
_LAST_ID = "SELECT max(id) AS id FROM models"
_ADD = """
INSERT INTO models (id, version, params, purchase_value, evaluation, status, trained_at)
VALUES (:id, :version, :params, :purchase_value, :evaluation, 'candidate', :now)
"""
_RETIRE = "UPDATE models SET status = 'retired' WHERE status = 'active' AND version <> :version"
_ACTIVATE = "UPDATE models SET status = 'active' WHERE version = :version AND status <> 'active'"


async def lock(tx: Tx) -> None:
    """One writer at a time."""
    await fetch(tx, _LOCK)


async def active(tx: Tx) -> Row:
    """The one in use; the migration made the first."""
    return (await fetch(tx, _ACTIVE))[0]


async def find(tx: Tx, version: str) -> Row | None:
    """One by its version."""
    rows = await fetch(tx, _FIND, version=version)
    return rows[0] if rows else None


async def newest_first(tx: Tx, before: int, limit: int) -> Sequence[Row]:
    """Versions made before the one with id ``before``."""
    return await fetch(tx, _NEWEST_FIRST, before=before, limit=limit)


async def next_id(tx: Tx) -> int:
    """The id of the version to come; under ``lock``."""
    return int((await fetch(tx, _LAST_ID))[0]["id"]) + 1


async def add(
    tx: Tx, id: int, version: str, params: str, purchase_value: str | None, evaluation: str | None, now: datetime
) -> None:
    """Writes a candidate down."""
    await execute(
        tx, _ADD, id=id, version=version, params=params, purchase_value=purchase_value, evaluation=evaluation, now=now
    )


async def activate(tx: Tx, version: str) -> None:
    """Retires the active version for this one; under ``lock``."""
    await execute(tx, _RETIRE, version=version)
    await execute(tx, _ACTIVATE, version=version)
