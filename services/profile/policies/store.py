"""The table of policies: a row a version, the newest in force."""

from collections.abc import Sequence
from datetime import datetime

from shared.db import Row, Tx, fetch

NEWEST = """
SELECT DISTINCT ON (name) name, version, CAST(body AS text) AS body FROM policies ORDER BY name, version DESC
"""
_NEWEST_OF = """
SELECT version, CAST(body AS text) AS body FROM policies WHERE name = :name ORDER BY version DESC LIMIT 1
"""
_VERSIONS = """
SELECT version, CAST(body AS text) AS body, created_at FROM policies WHERE name = :name ORDER BY version DESC LIMIT 100
"""
_HOLD = "SELECT pg_advisory_xact_lock(hashtextextended('roost.policy.' || CAST(:name AS text), 0))"
_ADD = """
INSERT INTO policies (name, version, body)
SELECT :name, max(version) + 1, CAST(:body AS jsonb) FROM policies WHERE name = :name
RETURNING version
"""


async def newest(tx: Tx) -> dict[str, tuple[int, str]]:
    """name -> (version, body in JSON)."""
    return by_name(await fetch(tx, NEWEST))


def by_name(rows: Sequence[Row]) -> dict[str, tuple[int, str]]:
    """The rows of ``NEWEST``: name -> (version, body in JSON)."""
    return {row["name"]: (row["version"], row["body"]) for row in rows}


async def newest_of(tx: Tx, name: str) -> tuple[int, str]:
    """The newest version of a policy and its body in JSON. Raises IndexError where there is none."""
    row = (await fetch(tx, _NEWEST_OF, name=name))[0]
    return row["version"], row["body"]


async def versions(tx: Tx, name: str) -> list[tuple[int, str, datetime]]:
    """The newest hundred versions of a policy, the newest first: number, body in JSON, since when."""
    return [(row["version"], row["body"], row["created_at"]) for row in await fetch(tx, _VERSIONS, name=name)]


async def hold(tx: Tx, name: str) -> None:
    """Has this transaction alone change a policy."""
    await fetch(tx, _HOLD, name=name)


async def add(tx: Tx, name: str, body: str) -> int:
    """The next version of a policy that has one. Two at once: the database refuses the second."""
    version: int = (await fetch(tx, _ADD, name=name, body=body))[0]["version"]
    return version
