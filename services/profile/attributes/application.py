"""Declaring attributes, and holding values against what was declared."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.profile.attributes import store
from services.profile.attributes.domain import AttributeType, Declaration, checked
from shared.db import Tx


async def check(tx: Tx, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are kept. Raises InvalidAttribute."""
    if not values:
        return {}
    return checked(values, await types(tx, values))


async def types(tx: Tx, names: Iterable[str]) -> dict[str, AttributeType]:
    """The types of those of these attributes that are declared."""
    asked = sorted(set(names))
    return {known.name: known.type for known in await store.find(tx, asked)} if asked else {}


async def find(tx: Tx, name: str) -> Declaration | None:
    """What is declared of an attribute."""
    found = await store.find(tx, [name])
    return found[0] if found else None


async def page(tx: Tx, after: str | None, limit: int) -> list[Declaration]:
    """What is declared, in the order of the names."""
    return await store.page(tx, after, limit)


async def declare(tx: Tx, declaration: Declaration) -> bool:
    """Writes the version after the one that stands; False where another was written first.

    Values written before stay as they are, and are checked when they are written again.
    """
    return await store.put(tx, declaration)
