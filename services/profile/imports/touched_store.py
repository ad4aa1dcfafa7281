"""Whom imports touched, and what of them a revert had to leave."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from services.profile.imports.domain import Import, Leftover
from shared.db import Tx, columns, copy, execute, fetch

_MADE_BEFORE = """
SELECT customer_id FROM import_customers WHERE import_id = :id AND created AND customer_id = ANY(:customers)
"""
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
# What an import brought that the next one names, too, is that one's; the identifiers are held. By the primary key.
_HAND_IDENTIFIERS_ON = """
WITH ours AS (
    SELECT customer_id, unnest(identifiers) AS identifier_id FROM import_customers
    WHERE import_id = :id AND chunk = :chunk AND identifiers IS NOT NULL
), heirs AS (
    SELECT DISTINCT ON (o.identifier_id) o.identifier_id, i.customer_id, i.import_id, i.chunk
    FROM ours AS o JOIN import_customers AS i USING (customer_id) JOIN imports AS j USING (import_id)
    WHERE i.import_id <> :id AND i.repeated -> ('identifiers.' || o.identifier_id) IS NOT NULL
      AND NOT j.dry_run AND j.state NOT IN ('reverting', 'reverted')
    ORDER BY o.identifier_id, j.created_at, i.import_id, i.chunk
), handed AS (
    SELECT customer_id, import_id, chunk, array_agg(identifier_id) AS identifiers FROM heirs GROUP BY 1, 2, 3
)
UPDATE import_customers AS i
SET repeats_only = false, identifiers = coalesce(i.identifiers, '{}') || h.identifiers
FROM handed AS h WHERE (i.customer_id, i.import_id, i.chunk) = (h.customer_id, h.import_id, h.chunk)
RETURNING h.identifiers
"""
_ADDRESSES_SAID = """
SELECT customer_id, substr(field, length('contact_points.') + 1) AS kind, min(recorded_at) AS since FROM file_fields
WHERE customer_id = ANY(:customers) AND source = :source AND starts_with(field, 'contact_points.')
GROUP BY customer_id, field ORDER BY customer_id, field
"""
_BROUGHT = """
SELECT unnest(identifiers) AS identifier_id, customer_id FROM import_customers WHERE import_id = :id AND chunk = :chunk
"""
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
_COUNT_REVERTED = """
UPDATE imports
SET next_chunk = next_chunk - 1, removed = removed + :removed, restored = restored + :restored, kept = kept + :kept
WHERE import_id = :id
"""
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


def repeated_identifier(identifier_id: str) -> str:
    """What ``repeated`` calls an identifier that the customer had already."""
    return f"identifiers.{identifier_id}"


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


async def addresses_said(tx: Tx, job: Import, customers: Iterable[str]) -> list[tuple[str, str, datetime]]:
    """What an import says of the addresses of these customers: whose, of which kind, and since when it is written, be
    it that another import wrote it first."""
    rows = await fetch(tx, _ADDRESSES_SAID, customers=sorted(customers), source=job.source)
    return [(row["customer_id"], row["kind"], row["since"]) for row in rows]


async def brought_alone(tx: Tx, job: Import) -> list[tuple[str, str]]:
    """The identifiers (id, customer) that the chunk in hand brought and nobody has named since.

    They are held; what another import that stands has named is that one's from now on."""
    asked = {"id": job.import_id, "chunk": job.next_chunk - 1}
    handed = {one for row in await fetch(tx, _HAND_IDENTIFIERS_ON, **asked) for one in row["identifiers"]}
    brought = [(row["identifier_id"], row["customer_id"]) for row in await fetch(tx, _BROUGHT, **asked)]
    return [one for one in brought if one[0] not in handed]


async def in_earlier_chunks(tx: Tx, job: Import, customers: Sequence[str]) -> set[str]:
    """Of which of these customers more is to be taken back than the chunk in hand."""
    asked = {"customers": list(customers), "id": job.import_id, "chunk": job.next_chunk - 1}
    return {row["customer_id"] for row in await fetch(tx, _IN_EARLIER_CHUNKS, **asked)}


async def with_traces(tx: Tx, customers: Sequence[str], import_id: str) -> set[str]:
    """Of which of these customers something is known that the import didn't say."""
    return {row["customer_id"] for row in await fetch(tx, _TRACES, customers=list(customers), id=import_id)}


async def reverted(tx: Tx, import_id: str, removed: int, restored: int, left: Sequence[Leftover]) -> None:
    """A chunk is taken back, but for what is left."""
    kept = len({one.customer_id for one in left})
    await execute(tx, _COUNT_REVERTED, id=import_id, removed=removed, restored=restored, kept=kept)
    who, codes, details = columns([(one.customer_id, one.code, one.detail) for one in left], 3)
    await execute(tx, _LEFT, id=import_id, customers=who, codes=codes, details=details)


async def leftovers(tx: Tx, import_id: str, after: tuple[str, str, str] | None, limit: int) -> list[Leftover]:
    """What a revert had to leave."""
    customer, code, detail = after or ("", "", "")
    rows = await fetch(tx, _LEFTOVERS, id=import_id, customer=customer, code=code, detail=detail, limit=limit)
    return [msgspec.convert(dict(row), Leftover) for row in rows]
