"""Imports, the chunks that wait, what became of rows, and whom they touched."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.profile.imports.domain import Fault, Import, Leftover, Tally
from services.profile.vault.domain import WrappedKey
from shared.db import Tx, columns, copy, execute, fetch

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
_MADE_BEFORE = """
SELECT customer_id FROM import_customers WHERE import_id = :id AND created AND customer_id = ANY(:customers)
"""
_SHOWN = "SELECT count(*) AS shown FROM import_differences WHERE import_id = :id"
_DIFFERENCES = "SELECT body FROM import_differences WHERE import_id = :id ORDER BY row"
_FAULTS = """
SELECT row, position, customer_id, code, pointer, detail, record FROM import_faults
WHERE import_id = :id AND (row, position) > (:row, :position) ORDER BY row, position LIMIT :limit
"""
_REVERTING = """
UPDATE imports SET state = 'reverting', reverted_by = :by, revert_started_at = :now,
                   ended_at = coalesce(ended_at, :now)
WHERE import_id = :id AND NOT dry_run AND state IN ('waiting', 'running', 'done')
"""
_DROP_CHUNKS = "DELETE FROM import_chunks WHERE import_id = :id"
_OF_CHUNK = """
SELECT customer_id, created, bare, CAST(consents AS text) AS consents, identifiers FROM import_customers
WHERE import_id = :id AND chunk = :chunk AND NOT repeats_only ORDER BY customer_id
"""
_IN_EARLIER_CHUNKS = """
SELECT DISTINCT customer_id FROM import_customers
WHERE customer_id = ANY(:customers) AND import_id = :id AND chunk < :chunk AND NOT repeats_only
"""
# Of what an import said that the next one has said, too, that one is the source from now on. A history takes no UPDATE.
_HAND_ON = """
WITH heirs AS (
    SELECT DISTINCT ON (i.customer_id, said.field, said.at) i.customer_id, i.import_id, i.chunk, said.field, said.at
    FROM import_customers AS i JOIN imports AS j USING (import_id)
    CROSS JOIN LATERAL jsonb_each_text(i.repeated) AS said (field, at)
    WHERE i.customer_id = ANY(:customers) AND i.import_id <> :id AND i.repeated IS NOT NULL
      AND NOT j.dry_run AND j.state NOT IN ('reverting', 'reverted')
    ORDER BY i.customer_id, said.field, said.at, j.created_at, i.import_id, i.chunk
), handed AS (
    DELETE FROM file_fields AS f USING heirs AS h
    WHERE (f.customer_id, f.field, f.true_at) = (h.customer_id, h.field, CAST(h.at AS timestamptz))
      AND f.source = 'import:' || :id
    RETURNING f.*, h.import_id, h.chunk
), kept AS (
    INSERT INTO file_fields (customer_id, field, value, sealed, source, true_at, recorded_at, id)
    OVERRIDING SYSTEM VALUE
    SELECT customer_id, field, value, sealed, 'import:' || import_id, true_at, recorded_at, id FROM handed
)
UPDATE import_customers AS i SET repeats_only = false FROM handed AS h
WHERE (i.customer_id, i.import_id, i.chunk) = (h.customer_id, h.import_id, h.chunk)
"""
_COUNT_REVERTED = """
UPDATE imports
SET next_chunk = next_chunk - 1, removed = removed + :removed, restored = restored + :restored, kept = kept + :kept
WHERE import_id = :id
"""
_REVERTED = "UPDATE imports SET state = 'reverted', revert_ended_at = :now WHERE import_id = :id"
_LEFT = """
INSERT INTO import_leftovers (import_id, customer_id, code, detail)
SELECT :id, * FROM unnest(CAST(:customers AS text[]), CAST(:codes AS text[]), CAST(:details AS text[]))
ON CONFLICT DO NOTHING
"""
_LEFTOVERS = """
SELECT customer_id, code, detail FROM import_leftovers
WHERE import_id = :id AND (customer_id, code, detail) > (:customer, :code, :detail)
ORDER BY customer_id, code, detail LIMIT :limit
"""
_ABANDONED = "DELETE FROM imports WHERE state = 'receiving' AND created_at < :before"
# The key goes, and with it what was sealed under it, wherever its bytes may still lie.
_EXPIRED = """
UPDATE imports SET wrapped = NULL, wrapped_by = NULL
WHERE wrapped IS NOT NULL AND ended_at < :before RETURNING import_id
"""
_FORGET_RECORDS = "UPDATE import_faults SET record = NULL WHERE import_id = ANY(:ids)"
_FORGET_DIFFERENCES = "DELETE FROM import_differences WHERE import_id = ANY(:ids)"


# Whatever is known of a customer beside what the import itself has said: then his file stays.
_TRACES = """
SELECT c.customer_id FROM unnest(CAST(:customers AS text[])) AS c (customer_id)
WHERE EXISTS (SELECT 1 FROM file_fields AS x WHERE x.customer_id = c.customer_id)
   OR EXISTS (SELECT 1 FROM customers AS x WHERE x.customer_id = c.customer_id AND x.restricted)
   OR EXISTS (SELECT 1 FROM facts AS x WHERE x.customer_id = c.customer_id)
   OR EXISTS (SELECT 1 FROM notes AS x WHERE x.customer_id = c.customer_id)
   OR EXISTS (SELECT 1 FROM contact_persons AS x WHERE x.customer_id = c.customer_id)
   OR EXISTS (SELECT 1 FROM identifiers AS x WHERE x.customer_id = c.customer_id)
   OR EXISTS (SELECT 1 FROM merges AS x WHERE x.from_id = c.customer_id OR x.into_id = c.customer_id)
   OR EXISTS (SELECT 1 FROM standings AS x WHERE x.customer_id = c.customer_id AND x.points <> 0)
   OR EXISTS (SELECT 1 FROM import_customers AS x JOIN imports USING (import_id)
              WHERE x.customer_id = c.customer_id AND x.import_id <> :id
                AND NOT dry_run AND state NOT IN ('reverting', 'reverted'))
   OR EXISTS (SELECT 1 FROM consents AS x
              WHERE x.customer_id = c.customer_id AND x.source <> 'revert:' || :id
                AND NOT EXISTS (SELECT 1 FROM import_customers AS i, jsonb_array_elements(i.consents) AS ours (said)
                                WHERE i.customer_id = c.customer_id AND i.import_id = :id
                                  AND ours.said ->> 0 = x.channel AND ours.said ->> 1 = x.purpose
                                  AND CAST(ours.said ->> 3 AS timestamptz) = x.recorded_at))
"""


class FaultRow(msgspec.Struct, frozen=True):
    """A fault of a row; ``record`` is sealed."""

    row: int
    position: int
    customer_id: str | None
    code: str
    pointer: str
    detail: str
    record: bytes | None


Agreed = tuple[str, str, bool, datetime]
"""Channel, purpose, whether granted, and when."""


class Touched(msgspec.Struct, frozen=True):
    """A customer whom an import made or changed; ``bare``: of whom nothing but events was known.

    ``repeated``: what it said that stood already, and since when; ``repeats_only``: and nothing else."""

    customer_id: str
    created: bool
    bare: bool = False
    consents: tuple[Agreed, ...] = ()
    identifiers: tuple[str, ...] = ()
    repeated: dict[str, datetime] = {}
    repeats_only: bool = False


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


async def add_faults(
    tx: Tx, import_id: str, found: Iterable[tuple[int, str | None, Sequence[Fault], bytes | None]]
) -> None:
    """Keeps what is wrong with rows: number, customer, faults, the sealed record."""
    rows = [
        (
            import_id,
            row,
            place,
            None if record is None else customer,
            fault.code,
            fault.pointer,
            fault.detail[:500],
            None if place else record,
        )
        for row, customer, faults, record in found
        for place, fault in enumerate(faults)
    ]  # fmt: skip
    names = ("import_id", "row", "position", "customer_id", "code", "pointer", "detail", "record")
    if rows:
        await copy(tx, "import_faults", names, rows)


async def faults(tx: Tx, import_id: str, after: tuple[int, int] | None, limit: int) -> list[FaultRow]:
    """What is wrong with rows, in their order."""
    row, position = after or (0, -1)
    found = await fetch(tx, _FAULTS, id=import_id, row=row, position=position, limit=limit)
    return [FaultRow(**one) for one in found]


async def touched(tx: Tx, import_id: str, chunk: int, found: Iterable[Touched]) -> None:
    """Keeps whom a chunk made or changed."""
    rows = [
        (
            one.customer_id,
            import_id,
            chunk,
            one.created,
            one.bare,
            msgspec.json.encode(one.consents).decode() if one.consents else None,
            list(one.identifiers) or None,
            msgspec.json.encode(one.repeated).decode() if one.repeated else None,
            one.repeats_only,
        )
        for one in found
    ]
    names = (
        "customer_id", "import_id", "chunk", "created", "bare", "consents", "identifiers", "repeated", "repeats_only",
    )  # fmt: skip
    if rows:
        await copy(tx, "import_customers", names, rows)


async def made_before(tx: Tx, import_id: str, customers: Sequence[str]) -> set[str]:
    """Which of these a dry run has found to be new in an earlier chunk."""
    return {row["customer_id"] for row in await fetch(tx, _MADE_BEFORE, id=import_id, customers=list(customers))}


async def shown(tx: Tx, import_id: str) -> int:
    """How many differences are kept already."""
    count: int = (await fetch(tx, _SHOWN, id=import_id))[0]["shown"]
    return count


async def add_differences(tx: Tx, import_id: str, found: Iterable[tuple[int, str, bytes]]) -> None:
    """Keeps what rows would do: number, customer, the sealed difference."""
    rows = [(import_id, *one) for one in found]
    if rows:
        await copy(tx, "import_differences", ("import_id", "row", "customer_id", "body"), rows)


async def differences(tx: Tx, import_id: str) -> list[bytes]:
    """What rows would do, sealed, in their order."""
    return [row["body"] for row in await fetch(tx, _DIFFERENCES, id=import_id)]


async def reverting(tx: Tx, import_id: str, by: str, now: datetime) -> bool:
    """From here on it is taken back, and what of it waited is forgotten; False where that can't be."""
    if not await execute(tx, _REVERTING, id=import_id, by=by, now=now):
        return False
    await execute(tx, _DROP_CHUNKS, id=import_id)
    return True


async def of_chunk(tx: Tx, import_id: str, chunk: int) -> list[Touched]:
    """Whom a chunk made or changed."""
    return [
        Touched(
            row["customer_id"],
            row["created"],
            row["bare"],
            msgspec.json.decode(row["consents"] or "[]", type=tuple[Agreed, ...]),
            tuple(row["identifiers"] or ()),
        )
        for row in await fetch(tx, _OF_CHUNK, id=import_id, chunk=chunk)
    ]


async def hand_on(tx: Tx, job: Import, customers: Sequence[str]) -> None:
    """What another import that stands has said of these customers, too, is its own from now on."""
    await execute(tx, _HAND_ON, customers=list(customers), id=job.import_id)


async def in_earlier_chunks(tx: Tx, job: Import, customers: Sequence[str]) -> set[str]:
    """Of which of these customers more is to be taken back than the chunk in hand."""
    asked = {"customers": list(customers), "id": job.import_id, "chunk": job.next_chunk - 1}
    return {row["customer_id"] for row in await fetch(tx, _IN_EARLIER_CHUNKS, **asked)}


async def reverted(tx: Tx, import_id: str, removed: int, restored: int, left: Sequence[Leftover]) -> None:
    """A chunk is taken back, but for what is left."""
    kept = len({one.customer_id for one in left})
    await execute(tx, _COUNT_REVERTED, id=import_id, removed=removed, restored=restored, kept=kept)
    who, codes, details = columns([(one.customer_id, one.code, one.detail) for one in left], 3)
    await execute(tx, _LEFT, id=import_id, customers=who, codes=codes, details=details)


async def with_traces(tx: Tx, customers: Sequence[str], import_id: str) -> set[str]:
    """Of which of these customers something is known that the import didn't say."""
    return {row["customer_id"] for row in await fetch(tx, _TRACES, customers=list(customers), id=import_id)}


async def revert_ended(tx: Tx, import_id: str, now: datetime) -> None:
    """It is taken back of everybody."""
    await execute(tx, _REVERTED, id=import_id, now=now)


async def leftovers(tx: Tx, import_id: str, after: tuple[str, str, str] | None, limit: int) -> list[Leftover]:
    """What a revert had to leave."""
    customer, code, detail = after or ("", "", "")
    rows = await fetch(tx, _LEFTOVERS, id=import_id, customer=customer, code=code, detail=detail, limit=limit)
    return [msgspec.convert(dict(row), Leftover) for row in rows]


async def forget(tx: Tx, abandoned_before: datetime, ended_before: datetime) -> int:
    """Drops uploads that never ended, and what old imports keep of their files' words; answers how many."""
    dropped = await execute(tx, _ABANDONED, before=abandoned_before)
    ids = [row["import_id"] for row in await fetch(tx, _EXPIRED, before=ended_before)]
    if ids:
        await execute(tx, _FORGET_RECORDS, ids=ids)
        await execute(tx, _FORGET_DIFFERENCES, ids=ids)
    return dropped + len(ids)
