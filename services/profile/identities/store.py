"""When each version of a merge happened, and who took it in."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from services.profile.identities.domain import MergeView
from shared.db import Tx, columns, execute, fetch

_FIND = """
SELECT m.merge_id, m.version, m.from_id, m.into_id, m.active, coalesce(made.occurred_at, m.occurred_at) AS merged_at,
       CASE WHEN NOT m.active THEN m.occurred_at END AS undone_at,
       ARRAY(SELECT a.service FROM merge_acknowledgements AS a
             WHERE a.merge_id = m.merge_id AND a.version = m.version ORDER BY a.service) AS acknowledged_by
FROM merges AS m LEFT JOIN merge_versions AS made ON made.merge_id = m.merge_id AND made.version = 1
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


async def find(tx: Tx, merge_id: str) -> MergeView | None:
    """A merge as it stands."""
    rows = await fetch(tx, _FIND, merge=merge_id)
    return msgspec.convert(dict(rows[0]), MergeView) if rows else None


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
