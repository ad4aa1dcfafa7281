"""Looking for what an export forgets: every table and every column, whatever its name."""

from collections.abc import Mapping

from shared.db import Database, fetch
from shared.exports import LEFT_OUT, SHARED, Sections

_COLUMNS = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"


async def forgotten(db: Database, own: Sections, left_out: Mapping[str, str]) -> set[str]:
    """``table.column`` of what is neither exported nor left out with a reason; and what is left out and isn't there."""
    exported: set[str] = set()
    async with db.transaction() as tx:
        there = {(row["table_name"], row["column_name"]) for row in await fetch(tx, _COLUMNS)}
        for section in {**own, **SHARED}.values():
            names = (await tx.prepare(section.sql.replace(":ids", "$1"))).get_attributes()
            exported |= {f"{table}.{name.name}" for table in section.tables for name in names}
    reasons = {**LEFT_OUT, **left_out}
    every = {f"{table}.{column}" for table, column in there}
    explained = {name for name in every if name in reasons or name.partition(".")[0] in reasons}
    stale = reasons.keys() - every - {table for table, _ in there}
    return (every - exported - explained) | stale
