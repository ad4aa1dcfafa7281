"""The numbers by which files are suggested as one person's, and the kinds of key that join them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from services.profile.duplicates import store
from services.profile.policies import application as policies
from services.profile.policies.domain import MergingPolicy, SimilarityPolicy
from shared.db import Tx

Name = Literal["merging", "similarity"]
Numbers = MergingPolicy | SimilarityPolicy


@dataclass(frozen=True, slots=True)
class Rules:
    """The use cases of the two policies."""

    async def versions(self, tx: Tx, name: Name) -> list[tuple[Numbers, datetime]]:
        """The newest first, each with its number, and when it was written."""
        found = await policies.versions(tx, name)
        return [(numbers, at) for numbers, at in found if isinstance(numbers, Numbers)]

    async def change(self, tx: Tx, name: Name, numbers: Numbers, require: Callable[[int], None]) -> None:
        """Puts the next version in force, and has everybody compared, or every pair looked at, by it. The same numbers
        are no new version. Raises what ``require`` raises."""
        await store.turn(tx)
        before, _ = (await self.versions(tx, name))[0]
        require(before.version)
        if msgspec.structs.replace(numbers, version=before.version) == before:
            return
        await policies.put(tx, name, numbers)
        if isinstance(numbers, MergingPolicy):
            await store.reconsider(tx, numbers.kinds, on=numbers.on)
        else:
            await store.mark_all(tx)
