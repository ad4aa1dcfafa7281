"""Who may be one person, as staff reads and decides it; found by ``matching``."""

from dataclasses import dataclass

from services.profile.duplicates import store
from services.profile.duplicates.domain import Listed
from services.profile.identities.application import Identities
from shared.db import Tx


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The use cases of this module."""

    identities: Identities

    async def page(self, tx: Tx, *, after: tuple[int, str, str] | None, limit: int) -> list[Listed]:
        """Suggestions that nobody has decided, the best first."""
        return await store.page(tx, after, limit)

    async def reject(self, tx: Tx, pair: tuple[str, str], by: str) -> bool:
        """Notes that these are two, whatever id they have later; False if there is no file of one of them."""
        if not await self.identities.reject(tx, pair, by):
            return False
        await store.drop(tx, pair)
        return True
