"""When each version of a merge happened, and who took it in."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from services.profile.identities.domain import MergeView, Rule, Side
from shared.db import Row, Tx, columns, execute, fetch

_FIND = """
SELECT m.merge_id, m.version, m.from_id, m.into_id, m.active, coalesce(made.occurred_at, m.occurred_at) AS merged_at,
       CASE WHEN NOT m.active THEN m.occurred_at END AS undone_at,
       ARRAY(SELECT a.service FROM merge_acknowledgements AS a
             WHERE a.merge_id = m.merge_id AND a.version = m.version ORDER BY a.service) AS acknowledged_by,
       r.policy_version, r.verified
FROM merges AS m LEFT JOIN merge_versions AS made ON made.merge_id = m.merge_id AND made.version = 1
LEFT JOIN merge_rules AS r ON r.merge_id = m.merge_id
WHERE m.merge_id = :merge
"""
_KEEP = """
INSERT INTO merge_versions (merge_id, version, occurred_at)
SELECT * FROM unnest(CAST(:merges AS text[]), CAST(:versions AS int[]), CAST(:at AS timestamptz[])) ORDER BY 1, 2
ON CONFLICT DO NOTHING
"""
_ACKNOWLEDGE = """
INSERT INTO merge_acknowledgements (merge_id, version, service, applied_at)
SELECT * FROM unnest(CAST(:merges AS text[]), CAST(:versions AS int[]), CAST(:services AS text[]),
                     CAST(:at AS timestamptz[])) ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING
"""
_JOINED_AT = """
SELECT s.survivor_id, max(m.occurred_at) AS joined_at
FROM survivors AS s JOIN merges AS m ON m.from_id = s.customer_id AND m.active
WHERE s.survivor_id = ANY(:survivors) GROUP BY s.survivor_id
"""
# By the index on from_id: a merge that stands joins two ids of one person.
_EDGES = """
SELECT m.merge_id, m.from_id, m.into_id, coalesce(made.occurred_at, m.occurred_at) AS merged_at,
       coalesce(r.verified, '{}') AS verified
FROM merges AS m LEFT JOIN merge_versions AS made ON made.merge_id = m.merge_id AND made.version = 1
LEFT JOIN merge_rules AS r ON r.merge_id = m.merge_id
WHERE m.active AND m.from_id = ANY(:ids) ORDER BY m.merge_id
"""
_VERIFIED = """
SELECT customer_id, kind, digest FROM contact_points WHERE customer_id = ANY(:ids) AND verified AND kind = ANY(:kinds)
"""
_BY_RULE = "INSERT INTO merge_rules (merge_id, policy_version, verified) VALUES (:merge, :version, :verified)"
_REJECT = """
INSERT INTO rejected_duplicates (first_id, second_id, rejected_at, rejected_by)
VALUES (least(CAST(:first AS text), :second), greatest(CAST(:first AS text), :second), :now, :by)
ON CONFLICT DO NOTHING
"""
# Rejected is a pair of ids, whoever answers for them by now.
_REJECTED = """
SELECT 1 FROM rejected_duplicates
WHERE (first_id = ANY(:one) AND second_id = ANY(:other)) OR (first_id = ANY(:other) AND second_id = ANY(:one))
LIMIT 1
"""
_CONTRADICTED = """
SELECT 1 FROM customers AS a, customers AS b
WHERE a.customer_id = ANY(:one) AND b.customer_id = ANY(:other) AND a.birthday <> b.birthday
LIMIT 1
"""
_RESTRICTED = "SELECT 1 FROM customers WHERE customer_id = ANY(:ids) AND restricted LIMIT 1"
_SIDES = """
SELECT c.customer_id, c.created_at, coalesce(s.orders, 0) AS orders
FROM customers AS c LEFT JOIN purchase_states AS s USING (customer_id)
WHERE c.customer_id = ANY(:customers)
"""


async def find(tx: Tx, merge_id: str) -> MergeView | None:
    """A merge as it stands."""
    rows = await fetch(tx, _FIND, merge=merge_id)
    if not rows:
        return None
    row = dict(rows[0])
    return msgspec.convert(row | {"rule": row if row["policy_version"] is not None else None}, MergeView)


async def edges(tx: Tx, ids: Sequence[str]) -> Sequence[Row]:
    """The merges that join these ids, with the kinds of key of those that a rule made."""
    return await fetch(tx, _EDGES, ids=list(ids))


async def verified(tx: Tx, ids: Sequence[str], kinds: Sequence[str]) -> list[tuple[str, str, bytes]]:
    """The verified addresses of these files: customer, kind, digest."""
    rows = await fetch(tx, _VERIFIED, ids=list(ids), kinds=list(kinds))
    return [(row["customer_id"], row["kind"], bytes(row["digest"])) for row in rows]


async def by_rule(tx: Tx, merge_id: str, rule: Rule) -> None:
    """Notes by which rule a merge was made."""
    await execute(tx, _BY_RULE, merge=merge_id, version=rule.policy_version, verified=list(rule.verified))


async def reject(tx: Tx, pair: tuple[str, str], by: str, now: datetime) -> None:
    """Notes that a pair is two; once."""
    await execute(tx, _REJECT, first=pair[0], second=pair[1], by=by, now=now)


async def rejected(tx: Tx, one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether an id of the one and an id of the other were found to be two."""
    return bool(await fetch(tx, _REJECTED, one=list(one), other=list(other)))


async def contradicted(tx: Tx, one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether the birthdays of two persons differ."""
    return bool(await fetch(tx, _CONTRADICTED, one=list(one), other=list(other)))


async def restricted(tx: Tx, ids: Sequence[str]) -> bool:
    """Whether one of these files is restricted."""
    return bool(await fetch(tx, _RESTRICTED, ids=list(ids)))


async def sides(tx: Tx, customers: Sequence[str]) -> list[Side]:
    """What tells which of two stays."""
    return [msgspec.convert(dict(row), Side) for row in await fetch(tx, _SIDES, customers=list(customers))]


async def keep(tx: Tx, versions: Iterable[tuple[str, int, datetime]]) -> None:
    """Notes when versions of merges happened."""
    merges, numbers, at = columns(sorted(versions), 3)
    await execute(tx, _KEEP, merges=merges, versions=numbers, at=at)


async def acknowledge(tx: Tx, applied: Iterable[tuple[str, int, str, datetime]]) -> None:
    """Notes which services took versions of merges in."""
    merges, versions, services, at = columns(sorted(applied), 4)
    await execute(tx, _ACKNOWLEDGE, merges=merges, versions=versions, services=services, at=at)


async def joined_at(tx: Tx, survivors: Sequence[str]) -> dict[str, datetime]:
    """When the last id was joined to each of these survivors."""
    rows = await fetch(tx, _JOINED_AT, survivors=survivors)
    return {row["survivor_id"]: row["joined_at"] for row in rows}
