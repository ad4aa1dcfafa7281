"""Dead letters: what a service could not apply, kept as bytes with code and pointer, to be replayed."""

import base64
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

import msgspec

from shared.contracts.topics import dead_letter_topic
from shared.db import Tx, columns, execute, fetch
from shared.messaging import outbox
from shared.messaging.records import Record

BROKER_REFUSED = "broker-refused"
"""The code of a record of our own that the broker will never take."""

_KEEP = """
INSERT INTO dead_letters AS d (topic, value_sha256, key, value, headers, outcome, source, code, pointer, detail, times,
                               first_seen_at, last_seen_at)
SELECT *, :now, :now FROM unnest(
    CAST(:topics AS text[]), CAST(:hashes AS bytea[]), CAST(:keys AS bytea[]), CAST(:vals AS bytea[]),
    CAST(:headers AS bytea[]), CAST(:outcomes AS text[]), CAST(:sources AS text[]), CAST(:codes AS text[]),
    CAST(:pointers AS text[]), CAST(:details AS text[]), CAST(:times AS int[])) AS new (topic, value_sha256)
ORDER BY topic, value_sha256
ON CONFLICT (topic, value_sha256) DO UPDATE
SET times = d.times + excluded.times, last_seen_at = :now, replayed_at = NULL, key = excluded.key,
    headers = excluded.headers, outcome = excluded.outcome, source = excluded.source, code = excluded.code,
    pointer = excluded.pointer, detail = excluded.detail
"""
_LIST = """
SELECT * FROM dead_letters
WHERE replayed_at IS NULL AND id < :before AND (CAST(:topic AS text) IS NULL OR topic = :topic)
ORDER BY id DESC LIMIT :limit
"""
_ONE = "SELECT * FROM dead_letters WHERE id = :id FOR UPDATE"
_REPLAYED = "UPDATE dead_letters SET replayed_at = :now WHERE id = :id"
_EXPIRE = "DELETE FROM dead_letters WHERE replayed_at < :before"
_NAMES = (
    "topics", "hashes", "keys", "vals", "headers", "outcomes", "sources", "codes", "pointers", "details", "times",
)  # fmt: skip
_COUNT = "SELECT count(*) AS n FROM dead_letters WHERE replayed_at IS NULL"


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that a service could not apply, and why."""

    record: Record
    outcome: Literal["dead", "parked"]
    code: str
    detail: str
    pointer: str = ""
    source: str = ""


async def keep(
    tx: Tx, service: str, letters: Sequence[DeadLetter], now: datetime, *, announce: bool = True
) -> None:
    """Writes letters down, once by (topic, SHA-256 of the value); ``announce`` them on their dead-letter topic.

    What comes again is counted, and stands as it came last.
    """
    identities = [(letter.record.topic, _hash(letter.record)) for letter in letters]
    unique = dict(zip(identities, letters, strict=True))
    if not unique:
        return
    times = Counter(identities)
    rows = [
        (
            topic,
            digest,
            letter.record.key,
            letter.record.value,
            _pack(letter.record.headers),
            letter.outcome,
            letter.source,
            letter.code,
            letter.pointer.replace("\x00", ""),
            letter.detail.replace("\x00", ""),
            times[topic, digest],
        )
        for (topic, digest), letter in sorted(unique.items(), key=lambda item: item[0])
    ]
    await execute(tx, _KEEP, now=now, **dict(zip(_NAMES, columns(rows, len(_NAMES)), strict=True)))
    if announce:
        await outbox.append_records(tx, [_announcement(service, letter) for letter in unique.values()], now)


async def waiting(tx: Tx, *, before: int = 2**62, limit: int = 50, topic: str | None = None) -> list[dict[str, object]]:
    """The letters not replayed yet, newest first, in a form that JSON can show."""
    return [_shown(dict(row)) for row in await fetch(tx, _LIST, before=before, limit=limit, topic=topic)]


async def count(tx: Tx) -> int:
    """How many letters wait."""
    return int((await fetch(tx, _COUNT))[0]["n"])


async def find(tx: Tx, id: int) -> tuple[DeadLetter, datetime] | None:
    """A letter that waits, locked, and when it was last counted."""
    rows = await fetch(tx, _ONE, id=id)
    if not rows or rows[0]["replayed_at"] is not None:
        return None
    row = rows[0]
    record = Record(row["topic"], row["key"], row["value"], _unpack(row["headers"]))
    letter = DeadLetter(record, row["outcome"], row["code"], row["detail"], row["pointer"], row["source"])
    return letter, row["last_seen_at"]


async def mark_replayed(tx: Tx, id: int, now: datetime) -> None:
    """The letter was applied."""
    await execute(tx, _REPLAYED, id=id, now=now)


async def expire(tx: Tx, now: datetime, days: int) -> int:
    """Deletes letters that were replayed more than ``days`` ago."""
    return await execute(tx, _EXPIRE, before=now - timedelta(days=days))


def _announcement(service: str, letter: DeadLetter) -> outbox.Waiting:
    record = letter.record
    # A record without key and value can't be sent.
    value = b"" if record.key is None and record.value is None else record.value
    headers = {name: content.decode("utf-8", "replace") for name, content in record.headers}
    headers |= {"roost_code": letter.code, "roost_pointer": letter.pointer, "roost_detail": letter.detail}
    return outbox.Waiting(dead_letter_topic(record.topic, service), record.key, value, headers)


def _shown(row: dict[str, object]) -> dict[str, object]:
    value, key = row.pop("value"), row.pop("key")
    row["value"], row["encoding"] = _text(value)
    row["key"], _ = _text(key)
    row["value_sha256"] = row["value_sha256"].hex() if isinstance(row["value_sha256"], bytes) else ""
    del row["headers"]
    return row


def _text(content: object) -> tuple[str | None, str]:
    if not isinstance(content, bytes):
        return None, "text"
    try:
        return content.decode("utf-8"), "text"
    except UnicodeDecodeError:
        return base64.b64encode(content).decode("ascii"), "base64"


def _hash(record: Record) -> bytes:
    return sha256(record.value or b"").digest()


def _pack(headers: Sequence[tuple[str, bytes]]) -> bytes:
    return msgspec.json.encode(list(headers))


def _unpack(headers: bytes) -> tuple[tuple[str, bytes], ...]:
    return tuple(msgspec.json.decode(headers, type=list[tuple[str, bytes]]))
