"""The one column of loyalty's own that says who."""

from collections.abc import Mapping

from shared.db import Tx, columns, execute

_RENAME = """
UPDATE accounts SET customer_id = new.name
FROM unnest(CAST(:ids AS text[]), CAST(:names AS text[])) AS new (id, name) WHERE customer_id = new.id
"""


async def rename(tx: Tx, names: Mapping[str, str]) -> int:
    """Accounts by another name; how many there were."""
    ids, given = columns(sorted(names.items()), 2)
    return await execute(tx, _RENAME, ids=ids, names=given)
