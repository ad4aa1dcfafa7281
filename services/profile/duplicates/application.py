"""Suggesting who may be one person; staff decides."""

from dataclasses import dataclass

import msgspec
from sqlalchemy import RowMapping

from services.profile.customers.application import Customers
from services.profile.duplicates import store
from services.profile.duplicates.domain import CROWD, Candidate, Suggestion, suggestion
from shared.contracts.customers import Birthday
from shared.db import Tx


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The use cases of this module."""

    customers: Customers

    async def page(self, tx: Tx, *, after: tuple[str, str] | None, limit: int) -> list[Suggestion]:
        """Pairs that share an address and weren't rejected, in the order of their ids."""
        return [
            suggestion(_candidate(row, "first"), _candidate(row, "second"), row["kinds"])
            for row in await store.pairs(tx, after, CROWD, limit)
        ]

    async def reject(self, tx: Tx, pair: tuple[str, str], by: str) -> bool:
        """Notes that these are two, whatever id they have later; False if there is no file of one of them."""
        if not all([await self.customers.exists(tx, customer) for customer in pair]):
            return False
        await store.reject(tx, pair, by, self.customers.clock.now())
        return True


def _candidate(row: RowMapping, place: str) -> Candidate:
    birthday = row[f"{place}_birthday"]
    return Candidate(
        row[f"{place}_id"], row[f"{place}_name"], msgspec.json.decode(birthday, type=Birthday) if birthday else None
    )
