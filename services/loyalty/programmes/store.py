"""The programme versions, kept for ever as they were posted."""

from collections.abc import Sequence
from datetime import datetime

from shared.db import Row, Tx, execute, fetch

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('roost.loyalty.programmes', 0))"
_NEWER = "SELECT version, posted_at, body FROM programmes WHERE version > :version ORDER BY version"
_ONE = "SELECT version, posted_at, body FROM programmes WHERE version = :version"
_PAGE = """
SELECT version, posted_at, body FROM programmes
WHERE version < CAST(:before AS bigint) ORDER BY version DESC LIMIT :limit
"""
_NEWEST = "SELECT coalesce(max(version), 0) AS version FROM programmes"
_INSERT = """
INSERT INTO programmes (version, active_from, posted_at, body) VALUES (:version, :active_from, :posted_at, :body)
ON CONFLICT DO NOTHING
"""


async def newer(tx: Tx, version: int) -> Sequence[Row]:
    """The versions posted after ``version``."""
    return await fetch(tx, _NEWER, version=version)


async def one(tx: Tx, version: int) -> Row | None:
    """That version, or None."""
    rows = await fetch(tx, _ONE, version=version)
    return rows[0] if rows else None


async def page(tx: Tx, before: int, limit: int) -> Sequence[Row]:
    """Versions below ``before``, newest first."""
    return await fetch(tx, _PAGE, before=before, limit=limit)


async def next_version(tx: Tx) -> int:
    """The next number, ours until the transaction ends: a lower one can't appear after a higher one."""
    await fetch(tx, _LOCK)
    return int((await fetch(tx, _NEWEST))[0]["version"]) + 1


async def insert(tx: Tx, version: int, active_from: datetime, posted_at: datetime, body: str) -> None:
    """Keeps a version; a version of that number stays as it is."""
    await execute(tx, _INSERT, version=version, active_from=active_from, posted_at=posted_at, body=body)
