"""The table of policy versions: rows are added, never changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from shared.db import Row, Tx, execute, fetch

POLICIES_V1 = """
CREATE TABLE policies (
    name text NOT NULL,
    version integer NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    PRIMARY KEY (name, version)
);
"""

_NEWEST = "SELECT DISTINCT ON (name) name, version, body FROM policies ORDER BY name, version DESC"
_ONE = """
SELECT name, version, body, created_at, created_by FROM policies
WHERE name = :name AND version = coalesce(CAST(:version AS int), (SELECT max(version) FROM policies WHERE name = :name))
"""
_ADD = """
INSERT INTO policies (name, version, body, created_at, created_by) VALUES (:name, :version, :body, :at, :by)
"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('engagement.policy.' || :name, 0))"


async def newest(tx: Tx) -> dict[str, tuple[int, Any]]:
    """Name -> (version, JSON values) of each policy's newest version."""
    rows: Sequence[Row] = await fetch(tx, _NEWEST)
    return {row["name"]: (row["version"], msgspec.json.decode(row["body"])) for row in rows}


async def lock(tx: Tx, name: str) -> None:
    """One new version of a policy at a time."""
    await fetch(tx, _LOCK, name=name)


async def one(tx: Tx, name: str, version: int | None = None) -> Row | None:
    """A version of a policy, the newest where none is named."""
    rows = await fetch(tx, _ONE, name=name, version=version)
    return rows[0] if rows else None


async def add(tx: Tx, name: str, version: int, body: bytes, at: datetime, by: str) -> None:
    """Adds a version."""
    await execute(tx, _ADD, name=name, version=version, body=body.decode(), at=at, by=by)
