"""The one column of loyalty's own that says who."""

from collections.abc import Mapping

from shared.db import Tx, columns, execute

_RENAME = """
UPDATE accounts SET customer_id = new.name
FROM unnest(CAST(:ids AS text[]), CAST(:names AS text[])) AS new (id, name) WHERE customer_id = new.id
"""
# Staff wrote it.
_FORGET_REASONS = """
UPDATE redemptions AS r SET rolled_back_because = NULL
FROM accounts AS a WHERE a.account_id = r.account_id AND a.customer_id = ANY(:names)
    AND r.rolled_back_because IS NOT NULL
"""


async def forget_reasons(tx: Tx, names: Mapping[str, str]) -> int:
    """What was said of rollbacks, of accounts that have their names already; how many that were."""
    return await execute(tx, _FORGET_REASONS, names=sorted(names.values()))


async def rename(tx: Tx, names: Mapping[str, str]) -> int:
    """Accounts by another name; how many there were."""
    ids, given = columns(sorted(names.items()), 2)
    return await execute(tx, _RENAME, ids=ids, names=given)
