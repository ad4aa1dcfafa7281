"""The table of policies: a row a version, the newest in force."""

from shared.db import Tx, fetch

_NEWEST = """
SELECT DISTINCT ON (name) name, version, CAST(body AS text) AS body FROM policies ORDER BY name, version DESC
"""


async def newest(tx: Tx) -> dict[str, tuple[int, str]]:
    """name -> (version, body in JSON)."""
    return {row["name"]: (row["version"], row["body"]) for row in await fetch(tx, _NEWEST)}
