"""What people are compared by, who is to be compared again, and which pairs are suggested."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec

from services.profile.duplicates.domain import Evidence, Listed, Pair, Suggestion
from services.profile.policies.domain import Comparable
from shared.contracts.customers import Birthday, CustomerKind
from shared.db import Tx, columns, copy, execute, fetch

ADDRESSES: tuple[Comparable, ...] = ("email", "phone", "messaging", "post")
_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('roost.matching', 0))"
_TAKE = """
DELETE FROM match_marks WHERE id IN (SELECT id FROM match_marks ORDER BY id LIMIT :limit) RETURNING customer_id
"""
_MARK_ALL = (
    "INSERT INTO match_marks (customer_id) SELECT customer_id FROM customers WHERE NOT bare ORDER BY customer_id"
)
# What somebody has rejected or joined is not listed any more; what a rule has refused is looked at once more.
_RECONSIDER = """
UPDATE duplicate_pairs SET by_rule = :on AND EXISTS (
    SELECT 1 FROM jsonb_array_elements(evidence) AS e
    WHERE CAST(e ->> 'verified' AS boolean) AND e ->> 'field' = ANY(:kinds))
"""
_WAITING = (
    "SELECT EXISTS (SELECT 1 FROM match_marks) OR EXISTS (SELECT 1 FROM duplicate_pairs WHERE by_rule) AS waiting"
)
_FILES = """
SELECT customer_id, kind, bare, name, CAST(birthday AS text) AS birthday FROM customers
WHERE customer_id = ANY(:ids) AND NOT restricted
"""
_ADDRESSES = """
SELECT customer_id, p.kind, digest, verified FROM contact_points AS p JOIN customers AS c USING (customer_id)
WHERE customer_id = ANY(:ids) AND NOT c.restricted
"""
_DROP_KEYS = "DELETE FROM match_keys WHERE customer_id = ANY(:ids) RETURNING kind, key"
# How many have a key is counted up to one more than a crowd.
_CROWDED = """
WITH touched AS (
    SELECT DISTINCT kind, key FROM unnest(CAST(:kinds AS text[]), CAST(:keys AS bigint[])) AS t (kind, key)
), sized AS (
    SELECT t.kind, t.key, (SELECT count(*) FROM (SELECT 1 FROM match_keys AS k
                           WHERE k.kind = t.kind AND k.key = t.key LIMIT :crowd + 1) AS few) > :crowd AS crowded
    FROM touched AS t
), grown AS (
    INSERT INTO crowded_keys (kind, key) SELECT kind, key FROM sized WHERE crowded ORDER BY 1, 2
    ON CONFLICT DO NOTHING RETURNING kind, key
), shrunk AS (
    DELETE FROM crowded_keys AS c USING sized AS s
    WHERE (c.kind, c.key) = (s.kind, s.key) AND NOT s.crowded RETURNING c.kind, c.key
)
SELECT k.customer_id FROM grown JOIN match_keys AS k USING (kind, key)
WHERE EXISTS (SELECT 1 FROM duplicate_pairs AS d WHERE d.first_id = k.customer_id OR d.second_id = k.customer_id)
UNION
SELECT k.customer_id FROM shrunk JOIN match_keys AS k USING (kind, key)
"""
# By the primary key of match_keys, a block at a time; of one that is too large no more is read than tells so.
_PAIRS = """
WITH mine AS MATERIALIZED (
    SELECT kind, key, customer_id, verified FROM match_keys WHERE customer_id = ANY(:ids)
), members AS (
    SELECT b.kind, b.key, m.customer_id, m.verified, count(*) OVER (PARTITION BY b.kind, b.key) AS size
    FROM (SELECT DISTINCT kind, key FROM mine) AS b
    CROSS JOIN LATERAL (SELECT customer_id, verified FROM match_keys AS k
                        WHERE k.kind = b.kind AND k.key = b.key LIMIT :block + 1) AS m
)
SELECT least(a.customer_id, o.customer_id) AS first_id, greatest(a.customer_id, o.customer_id) AS second_id,
       array_agg(DISTINCT kind) FILTER (WHERE kind = ANY(:addresses)) AS shared,
       array_agg(DISTINCT kind) FILTER (WHERE kind = ANY(:addresses) AND a.verified AND o.verified) AS verified
FROM mine AS a JOIN members AS o USING (kind, key)
WHERE o.size <= CASE WHEN kind = ANY(:addresses) THEN :crowd ELSE :block END AND o.customer_id <> a.customer_id
GROUP BY 1, 2
"""
_REJECTED = """
SELECT coalesce(a.survivor_id, r.first_id) AS one, coalesce(b.survivor_id, r.second_id) AS other
FROM rejected_duplicates AS r
LEFT JOIN survivors AS a ON a.customer_id = r.first_id LEFT JOIN survivors AS b ON b.customer_id = r.second_id
WHERE r.first_id = ANY(:ids) OR r.second_id = ANY(:ids)
"""
_DROP_PAIRS = "DELETE FROM duplicate_pairs WHERE first_id = ANY(:ids) OR second_id = ANY(:ids)"
_DROP_PAIR = "DELETE FROM duplicate_pairs WHERE first_id = :first AND second_id = :second"
_KEEP = """
INSERT INTO duplicate_pairs (first_id, second_id, score, evidence, policy_version, by_rule)
SELECT first_id, second_id, score, CAST(evidence AS jsonb), :version, by_rule
FROM unnest(CAST(:first AS text[]), CAST(:second AS text[]), CAST(:scores AS int[]), CAST(:evidence AS text[]),
            CAST(:by_rule AS boolean[])) AS new (first_id, second_id, score, evidence, by_rule)
ORDER BY first_id, second_id
"""
# By the index on (score DESC, first_id, second_id). A merge or a rejection holds at once, whatever is still listed.
_PAGE = """
SELECT d.first_id, a.name AS first_name, d.second_id, b.name AS second_name, d.score,
       CAST(d.evidence AS text) AS evidence
FROM duplicate_pairs AS d
JOIN customers AS a ON a.customer_id = d.first_id JOIN customers AS b ON b.customer_id = d.second_id
WHERE d.score <= coalesce(:score, 100)
  AND (CAST(:score AS int) IS NULL OR d.score < :score OR (d.first_id, d.second_id) > (:first, :second))
  AND NOT EXISTS (SELECT 1 FROM survivors AS s WHERE s.customer_id IN (d.first_id, d.second_id))
  AND NOT EXISTS (SELECT 1 FROM rejected_duplicates AS r WHERE (r.first_id, r.second_id) = (d.first_id, d.second_id))
  AND d.first_id NOT IN (SELECT r.customer_id FROM restricted_persons AS r)
  AND d.second_id NOT IN (SELECT r.customer_id FROM restricted_persons AS r)
ORDER BY d.score DESC, d.first_id, d.second_id LIMIT :limit
"""
_TO_JOIN = "SELECT first_id, second_id FROM duplicate_pairs WHERE by_rule ORDER BY first_id, second_id LIMIT 1"
_DECIDED = "UPDATE duplicate_pairs SET by_rule = false WHERE first_id = :first AND second_id = :second"
_VERIFIED = """
SELECT DISTINCT a.kind FROM contact_points AS a JOIN contact_points AS b ON b.kind = a.kind AND b.digest = a.digest
WHERE a.customer_id = ANY(:one) AND b.customer_id = ANY(:other) AND a.verified AND b.verified AND a.kind = ANY(:kinds)
  AND (SELECT count(*) FROM (SELECT 1 FROM contact_points AS c WHERE c.kind = a.kind AND c.digest = a.digest
                             LIMIT :crowd + 1) AS few) <= :crowd
ORDER BY a.kind
"""
_evidence = msgspec.json.Decoder(tuple[Evidence, ...])
_birthday = msgspec.json.Decoder(Birthday)


class File(NamedTuple):
    """What of a file is compared in clear. ``kind`` is None while nobody has said it."""

    customer_id: str
    kind: CustomerKind | None
    name: str | None
    birthday: Birthday | None


class Address(NamedTuple):
    """An address by its digest."""

    customer_id: str
    kind: str
    digest: bytes
    verified: bool


class Key(NamedTuple):
    """What a person is found by: the same of who has the same."""

    kind: str
    key: int
    customer_id: str
    verified: bool


class Kept(NamedTuple):
    """A pair as it is kept; ``by_rule``: a rule may join it."""

    suggestion: Suggestion
    by_rule: bool


async def turn(tx: Tx) -> None:
    """One compares at a time."""
    await fetch(tx, _TURN)


async def take(tx: Tx, limit: int) -> set[str]:
    """Who is to be compared again, the longest waiting first; they wait no more."""
    return {row["customer_id"] for row in await fetch(tx, _TAKE, limit=limit)}


async def mark_all(tx: Tx) -> int:
    """Has everybody compared again; answers how many."""
    return await execute(tx, _MARK_ALL)


async def reconsider(tx: Tx, kinds: Sequence[str], *, on: bool) -> None:
    """Has the rules look at all pairs again who have a verified key of these kinds in common."""
    await execute(tx, _RECONSIDER, kinds=list(kinds), on=on)


async def waiting(tx: Tx) -> bool:
    """Whether somebody is to be compared, or a pair to be joined."""
    return bool((await fetch(tx, _WAITING))[0]["waiting"])


async def files(tx: Tx, ids: Collection[str]) -> list[File]:
    """The files of these ids, restricted ones left out: nobody is to do anything with them."""
    return [
        File(
            row["customer_id"],
            None if row["bare"] else row["kind"],
            row["name"],
            _birthday.decode(row["birthday"]) if row["birthday"] else None,
        )
        for row in await fetch(tx, _FILES, ids=list(ids))
    ]


async def addresses(tx: Tx, ids: Collection[str]) -> list[Address]:
    """Their addresses, without those of restricted files."""
    rows = await fetch(tx, _ADDRESSES, ids=list(ids))
    return [Address(row["customer_id"], row["kind"], row["digest"], row["verified"]) for row in rows]


async def put_keys(tx: Tx, ids: Collection[str], keys: Sequence[Key], crowd: int) -> set[str]:
    """Writes what these ids are found by, in the place of what was known of them.

    Answers who else is to be compared again, because an address came to be a crowd's, or is no more.
    """
    dropped = await fetch(tx, _DROP_KEYS, ids=list(ids))
    await copy(tx, "match_keys", Key._fields, sorted(keys))
    touched = {(row["kind"], row["key"]) for row in dropped} | {(key.kind, key.key) for key in keys}
    kinds, numbers = columns(sorted(one for one in touched if one[0] in ADDRESSES), 2)
    rows = await fetch(tx, _CROWDED, kinds=kinds, keys=numbers, crowd=crowd)
    return {row["customer_id"] for row in rows}


async def pairs(tx: Tx, ids: Collection[str], crowd: int, block: int) -> list[Pair]:
    """Whoever may be one with one of these, each pair once."""
    rows = await fetch(tx, _PAIRS, ids=list(ids), crowd=crowd, block=block, addresses=list(ADDRESSES))
    return [Pair(row["first_id"], row["second_id"], row["shared"] or (), row["verified"] or ()) for row in rows]


async def rejected(tx: Tx, ids: Collection[str]) -> set[tuple[str, str]]:
    """Which pairs of persons, one of them among these ids, were found to be two."""
    rows = await fetch(tx, _REJECTED, ids=list(ids))
    return {(min(row["one"], row["other"]), max(row["one"], row["other"])) for row in rows}


async def replace(tx: Tx, ids: Collection[str], found: Iterable[Kept], version: int) -> None:
    """Writes the suggestions of these ids in the place of those that they had."""
    await execute(tx, _DROP_PAIRS, ids=list(ids))
    rows = [
        (one.first, one.second, one.score, msgspec.json.encode(one.evidence).decode(), by_rule)
        for one, by_rule in found
    ]
    if rows:
        first, second, scores, evidence, by_rule = columns(rows, 5)
        await execute(
            tx, _KEEP, first=first, second=second, scores=scores, evidence=evidence, by_rule=by_rule, version=version
        )


async def page(tx: Tx, after: tuple[int, str, str] | None, limit: int) -> list[Listed]:
    """Suggestions, the best first."""
    score, first, second = after or (None, None, None)
    return [
        Listed(
            Suggestion(row["first_id"], row["second_id"], row["score"], _evidence.decode(row["evidence"])),
            row["first_name"],
            row["second_name"],
        )
        for row in await fetch(tx, _PAGE, score=score, first=first, second=second, limit=limit)
    ]


async def drop(tx: Tx, pair: tuple[str, str]) -> None:
    """Takes a suggestion away."""
    await execute(tx, _DROP_PAIR, first=min(pair), second=max(pair))


async def to_join(tx: Tx) -> tuple[str, str] | None:
    """A pair that a rule may join."""
    rows = await fetch(tx, _TO_JOIN)
    return (rows[0]["first_id"], rows[0]["second_id"]) if rows else None


async def decided(tx: Tx, pair: tuple[str, str]) -> None:
    """The rules have looked at a pair."""
    await execute(tx, _DECIDED, first=pair[0], second=pair[1])


async def verified_in_both(
    tx: Tx, one: Sequence[str], other: Sequence[str], kinds: Sequence[str], crowd: int
) -> list[str]:
    """Of which kinds both have the same address, verified under an id of either, which no more than ``crowd`` files
    have: whoever was joined by it counts with every id, else a desk's phone would join its users one after the other.
    """
    rows = await fetch(tx, _VERIFIED, one=list(one), other=list(other), kinds=list(kinds), crowd=crowd)
    return [row["kind"] for row in rows]
