"""Looking for what must be gone: in every column of every table, whatever its type."""

from collections.abc import Sequence

from shared.db import Database, fetch

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
# A row as text shows bytea in hex: what was written as UTF-8 is looked for in both forms.
_FOUND = """
SELECT word FROM unnest(CAST(:words AS text[])) AS w (word)
WHERE EXISTS (SELECT 1 FROM "{0}" AS t
              WHERE strpos(CAST(t AS text), word) > 0
                 OR strpos(CAST(t AS text), encode(convert_to(word, 'UTF8'), 'hex')) > 0)
"""


async def places_of(db: Database, words: Sequence[str]) -> list[tuple[str, str]]:
    """(table, word) of every word that stands anywhere in the database."""
    found: list[tuple[str, str]] = []
    async with db.transaction() as tx:
        for table in [row["tablename"] for row in await fetch(tx, _TABLES)]:
            found += [(table, row["word"]) for row in await fetch(tx, _FOUND.format(table), words=list(words))]
    return found
