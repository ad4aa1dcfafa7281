"""Imports, and the chunks that wait."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.profile.imports.domain import Import, Tally
from services.profile.vault.domain import WrappedKey
from shared.db import Tx, copy, execute, fetch

_COLUMNS = ", ".join(Import.__struct_fields__)
_ADD = """
INSERT INTO imports (import_id, state, format, name, dry_run, as_of, created_by, created_at, traceparent,
                     wrapped, wrapped_by)
VALUES (:import_id, 'receiving', :format, :name, :dry_run, :as_of, :created_by, :created_at, :traceparent,
        :wrapped, :wrapped_by)
"""
_FIND = f"SELECT {_COLUMNS} FROM imports WHERE import_id = :id"
_KEY = "SELECT wrapped, wrapped_by FROM imports WHERE import_id = :id AND wrapped IS NOT NULL"
_RECEIVED = """
UPDATE imports SET state = 'waiting', columns = :columns, content_hash = :hash, bytes = :bytes, rows = :rows
WHERE import_id = :id
"""
_DROP = "DELETE FROM imports WHERE import_id = :id"
_SAME = """
SELECT import_id FROM imports
WHERE content_hash = :hash AND import_id <> :id AND NOT dry_run AND state NOT IN ('receiving', 'reverting', 'reverted')
ORDER BY created_at DESC LIMIT 1
"""
_PAGE = f"""
SELECT {_COLUMNS} FROM imports
WHERE state <> 'receiving' AND (CAST(:at AS timestamptz) IS NULL OR (created_at, import_id) < (:at, :id))
ORDER BY created_at DESC, import_id DESC LIMIT :limit
"""
_NEXT = """
SELECT import_id FROM imports WHERE state IN ('waiting', 'running', 'reverting') AND NOT import_id = ANY(:without)
ORDER BY created_at, import_id LIMIT 1
"""
_CHUNK = "SELECT first_row, body FROM import_chunks WHERE import_id = :id AND chunk = :chunk"
_DONE_CHUNK = "DELETE FROM import_chunks WHERE import_id = :id AND chunk = :chunk"
_PROGRESS = """
UPDATE imports
SET next_chunk = next_chunk + 1, done = done + :done, created = created + :created,
    changed = changed + :changed, unchanged = unchanged + :unchanged, failed = failed + :failed
WHERE import_id = :id
"""
_STARTED = "UPDATE imports SET state = 'running', started_at = :now WHERE import_id = :id AND state = 'waiting'"
_ENDED = "UPDATE imports SET state = 'done', ended_at = :now WHERE import_id = :id"
_REVERTING = """
UPDATE imports SET state = 'reverting', reverted_by = :by, revert_started_at = :now,
                   ended_at = coalesce(ended_at, :now)
WHERE import_id = :id AND NOT dry_run AND state IN ('waiting', 'running', 'done')
"""
_DROP_CHUNKS = "DELETE FROM import_chunks WHERE import_id = :id"
_REVERTED = "UPDATE imports SET state = 'reverted', revert_ended_at = :now WHERE import_id = :id"
_ABANDONED = "DELETE FROM imports WHERE state = 'receiving' AND created_at < :before"
# The key goes, and with it what was sealed under it, wherever its bytes may still lie.
_EXPIRED = """
UPDATE imports SET wrapped = NULL, wrapped_by = NULL
WHERE wrapped IS NOT NULL AND ended_at < :before RETURNING import_id
"""
_FORGET_RECORDS = "UPDATE import_faults SET record = NULL WHERE import_id = ANY(:ids)"
_FORGET_DIFFERENCES = "DELETE FROM import_differences WHERE import_id = ANY(:ids)"


async def be_patient(tx: Tx) -> None:
    """Whoever waits for a lock for so long gives way: chunks wait for one another beyond the database's sight."""
    await execute(tx, "SET LOCAL lock_timeout = '5s'")


async def add(tx: Tx, key: WrappedKey, **said: Any) -> None:
    """An import that is being received."""
    await execute(tx, _ADD, **said, wrapped=key.wrapped, wrapped_by=key.wrapped_by)


async def add_chunk(tx: Tx, import_id: str, chunk: int, first_row: int, body: bytes) -> None:
    """Keeps some rows until it is their turn."""
    await copy(tx, "import_chunks", ("import_id", "chunk", "first_row", "body"), [(import_id, chunk, first_row, body)])


async def received(tx: Tx, import_id: str, names: Sequence[str], content: bytes, size: int, rows: int) -> None:
    """The file is whole: its turn may come."""
    await execute(tx, _RECEIVED, id=import_id, columns=list(names), hash=content, bytes=size, rows=rows)


async def drop(tx: Tx, import_id: str) -> None:
    """An upload that came to nothing."""
    await execute(tx, _DROP, id=import_id)


async def find(tx: Tx, import_id: str, *, lock: bool = False) -> Import | None:
    """An import, held until the transaction ends if asked for."""
    rows = await fetch(tx, f"{_FIND} FOR NO KEY UPDATE" if lock else _FIND, id=import_id)
    return msgspec.convert(dict(rows[0]), Import) if rows else None


async def key(tx: Tx, import_id: str) -> WrappedKey | None:
    """The key of what an import keeps; None once it is forgotten."""
    rows = await fetch(tx, _KEY, id=import_id)
    return WrappedKey(rows[0]["wrapped"], rows[0]["wrapped_by"]) if rows else None


async def same(tx: Tx, import_id: str, content: bytes) -> str | None:
    """Another import of the same bytes that stands."""
    rows = await fetch(tx, _SAME, id=import_id, hash=content)
    return rows[0]["import_id"] if rows else None


async def page(tx: Tx, after: tuple[datetime, str] | None, limit: int) -> list[Import]:
    """Imports, the newest first."""
    at, number = after or (None, None)
    return [msgspec.convert(dict(row), Import) for row in await fetch(tx, _PAGE, at=at, id=number, limit=limit)]


async def next_at_work(tx: Tx, without: Sequence[str] = ()) -> str | None:
    """Whose turn it is, ``without`` some."""
    rows = await fetch(tx, _NEXT, without=list(without))
    return rows[0]["import_id"] if rows else None


async def chunk(tx: Tx, import_id: str, number: int) -> tuple[int, bytes] | None:
    """The number of a chunk's first row, and its rows."""
    rows = await fetch(tx, _CHUNK, id=import_id, chunk=number)
    return (rows[0]["first_row"], rows[0]["body"]) if rows else None


async def started(tx: Tx, import_id: str, now: datetime) -> None:
    """Its turn has come."""
    await execute(tx, _STARTED, id=import_id, now=now)


async def progress(tx: Tx, import_id: str, number: int, tally: Tally) -> None:
    """A chunk is worked through: it goes, and the next one's turn has come."""
    counts = msgspec.structs.asdict(tally)
    await execute(tx, _DONE_CHUNK, id=import_id, chunk=number)
    await execute(tx, _PROGRESS, id=import_id, done=sum(counts.values()), **counts)


async def ended(tx: Tx, import_id: str, now: datetime) -> None:
    """Its last chunk is worked through."""
    await execute(tx, _ENDED, id=import_id, now=now)


async def reverting(tx: Tx, import_id: str, by: str, now: datetime) -> bool:
    """From here on it is taken back, and what of it waited is forgotten; False where that can't be."""
    if not await execute(tx, _REVERTING, id=import_id, by=by, now=now):
        return False
    await execute(tx, _DROP_CHUNKS, id=import_id)
    return True


async def revert_ended(tx: Tx, import_id: str, now: datetime) -> None:
    """It is taken back of everybody."""
    await execute(tx, _REVERTED, id=import_id, now=now)


async def forget(tx: Tx, abandoned_before: datetime, ended_before: datetime) -> int:
    """Drops uploads that never ended, and what old imports keep of their files' words; answers how many."""
    dropped = await execute(tx, _ABANDONED, before=abandoned_before)
    ids = [row["import_id"] for row in await fetch(tx, _EXPIRED, before=ended_before)]
    if ids:
        await execute(tx, _FORGET_RECORDS, ids=ids)
        await execute(tx, _FORGET_DIFFERENCES, ids=ids)
    return dropped + len(ids)
