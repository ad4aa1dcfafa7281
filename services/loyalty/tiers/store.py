"""The tier that was last announced of each account, and when it is due to be looked at: it changes no earlier."""

from collections.abc import Sequence
from datetime import datetime

from shared.db import Row, Tx, columns, execute, fetch

_READ = "SELECT account_id, tier, due_at FROM tiers WHERE account_id = ANY(:accounts)"
_SAVE = """
INSERT INTO tiers AS t (account_id, tier, due_at)
SELECT * FROM unnest(CAST(:accounts AS bigint[]), CAST(:tiers AS text[]), CAST(:due_at AS timestamptz[]))
    AS new (account_id) ORDER BY account_id
ON CONFLICT (account_id) DO UPDATE SET tier = excluded.tier, due_at = excluded.due_at
"""
_REST = "UPDATE tiers SET due_at = NULL WHERE account_id = ANY(:accounts) AND due_at IS NOT NULL"
_DUE = "SELECT account_id FROM tiers WHERE due_at <= :now ORDER BY due_at LIMIT :limit"
_NEXT_DUE = "SELECT min(due_at) AS due_at FROM tiers WHERE due_at IS NOT NULL"
_PASS = "SELECT last_account_id, done FROM tier_passes WHERE version = :version"
_PASSED = """
INSERT INTO tier_passes (version, last_account_id, done) VALUES (:version, :last, :done)
ON CONFLICT (version) DO UPDATE SET last_account_id = excluded.last_account_id, done = excluded.done
"""


async def read(tx: Tx, accounts: Sequence[int]) -> dict[int, Row]:
    """What was last announced of these accounts; nothing of who never had a tier, nor will without buying."""
    return {row["account_id"]: row for row in await fetch(tx, _READ, accounts=list(accounts))}


async def save(tx: Tx, rows: Sequence[tuple[int, str | None, datetime | None]]) -> None:
    """Writes (account_id, tier, due_at)."""
    if rows:
        accounts, tiers, due_at = columns(rows, 3)
        await execute(tx, _SAVE, accounts=accounts, tiers=tiers, due_at=due_at)


async def rest(tx: Tx, accounts: Sequence[int]) -> None:
    """These accounts' tiers aren't judged by themselves; what was last announced of them stands."""
    await execute(tx, _REST, accounts=list(accounts))


async def due(tx: Tx, now: datetime, limit: int) -> list[int]:
    """Accounts whose tier is due to be looked at by now, the longest waiting first."""
    return [row["account_id"] for row in await fetch(tx, _DUE, now=now, limit=limit)]


async def next_due(tx: Tx) -> datetime | None:
    """When the next tier is due to be looked at."""
    at: datetime | None = (await fetch(tx, _NEXT_DUE))[0]["due_at"]
    return at


async def progress(tx: Tx, version: int) -> tuple[int, bool]:
    """The last account that was judged under a version since it came into force, and whether all were."""
    rows = await fetch(tx, _PASS, version=version)
    return (rows[0]["last_account_id"], rows[0]["done"]) if rows else (0, False)


async def note_progress(tx: Tx, version: int, last: int, done: bool) -> None:
    """Keeps that."""
    await execute(tx, _PASSED, version=version, last=last, done=done)
