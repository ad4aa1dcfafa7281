"""What is in force now."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from services.profile.policies import store
from services.profile.policies.domain import (
    ClassPolicy,
    ConsentPolicy,
    LifecyclePolicy,
    MergingPolicy,
    Policies,
    RfmCutPoints,
    SimilarityPolicy,
    ValuePolicy,
)
from shared.db import Reader, Tx

_OF_CUSTOMERS: Mapping[str, type[msgspec.Struct]] = {
    "rfm": RfmCutPoints,
    "lifecycle": LifecyclePolicy,
    "consent": ConsentPolicy,
    "value": ValuePolicy,
    "class": ClassPolicy,
}
Numbers = TypeVar("Numbers", bound=msgspec.Struct)
"""A struct of a policy's numbers, and ``version``."""


async def in_force(tx: Tx) -> Policies:
    """The newest version of every policy. Raises KeyError where the migration's seed is gone."""
    return _policies(await store.newest(tx))


async def newest(tx: Tx, name: str, kind: type[Numbers]) -> Numbers:
    """The newest version of a policy, whose numbers a module may keep to itself. Raises IndexError where the
    migration's seed is gone."""
    return _read(kind, *await store.newest_of(tx, name))


async def merging(tx: Tx) -> MergingPolicy:
    """Who is joined by rule."""
    return await newest(tx, "merging", MergingPolicy)


async def similarity(tx: Tx) -> SimilarityPolicy:
    """Who is suggested as one person."""
    return await newest(tx, "similarity", SimilarityPolicy)


class Remembered:
    """The policies in force, read again where there are more rows than there were: rows are only ever added."""

    def __init__(self) -> None:
        self._kept: tuple[int, Policies] | None = None

    async def in_force(self, reader: Reader, rows: int) -> Policies:
        """The newest version of every policy, in a table that was just seen to have so many ``rows``."""
        if self._kept is None or self._kept[0] != rows:
            newest: Any = await reader.fetch(store.NEWEST)
            self._kept = rows, _policies(store.by_name(newest))
        return self._kept[1]


async def versions(tx: Tx, name: str, kind: type[Numbers]) -> list[tuple[Numbers, datetime]]:
    """The versions of a policy, the newest first, and when each was written."""
    return [(_read(kind, version, body), at) for version, body, at in await store.versions(tx, name)]


async def change(tx: Tx, name: str, numbers: Numbers, require: Callable[[int], None]) -> bool:
    """Puts the next version in force; False where the numbers are those in force already, which is no new version.

    Raises what ``require`` raises, given the version in force. Of two at once the second sees the first's.
    """
    await store.hold(tx, name)
    before: Any = await newest(tx, name, type(numbers))
    require(before.version)
    if msgspec.structs.replace(numbers, version=before.version) == before:
        return False
    await put(tx, name, numbers)
    return True


async def put(tx: Tx, name: str, policy: msgspec.Struct) -> int:
    """Writes the next version of a policy, in force from now on; answers its number."""
    body = msgspec.to_builtins(policy)
    del body["version"]
    return await store.add(tx, name, msgspec.json.encode(body).decode())


def _policies(rows: Mapping[str, tuple[int, str]]) -> Policies:
    return msgspec.convert({name: _read(kind, *rows[name]) for name, kind in _OF_CUSTOMERS.items()}, Policies)


def _read(kind: type[Numbers], version: int, body: str) -> Numbers:
    return msgspec.structs.replace(msgspec.json.decode(body, type=kind), version=version)
