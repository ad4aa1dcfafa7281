"""Declarations by name."""

from collections.abc import Sequence

import msgspec

from services.profile.attributes.domain import Declaration
from shared.db import Tx, execute, fetch

_FIND = "SELECT name, version, type, description FROM declared_attributes WHERE name = ANY(:names)"
_PAGE = """
SELECT name, version, type, description FROM declared_attributes
WHERE CAST(:after AS text) IS NULL OR name > :after ORDER BY name LIMIT :limit
"""
_PUT = """
INSERT INTO declared_attributes AS d (name, version, type, description) VALUES (:name, :version, :type, :description)
ON CONFLICT (name) DO UPDATE SET version = excluded.version, type = excluded.type, description = excluded.description
WHERE d.version = excluded.version - 1
"""


async def find(tx: Tx, names: Sequence[str]) -> list[Declaration]:
    """The declarations of those of these names that are declared."""
    return [Declaration(**row) for row in await fetch(tx, _FIND, names=list(names))]


async def page(tx: Tx, after: str | None, limit: int) -> list[Declaration]:
    """Declarations in the order of their names."""
    return [Declaration(**row) for row in await fetch(tx, _PAGE, after=after, limit=limit)]


async def put(tx: Tx, declaration: Declaration) -> bool:
    """Writes the version after the one that stands; False where another was written first."""
    return bool(await execute(tx, _PUT, **msgspec.structs.asdict(declaration)))
