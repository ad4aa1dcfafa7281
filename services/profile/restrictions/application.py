"""Restricting files and lifting it again."""

from dataclasses import dataclass

from services.profile.customers.application import Customers
from services.profile.identities.domain import Person
from services.profile.restrictions import store
from services.profile.restrictions.domain import Restriction
from shared.contracts.types import Cause
from shared.db import Tx


@dataclass(frozen=True, slots=True)
class Restrictions:
    """The use cases of this module. A person is restricted if one of his ids is."""

    customers: Customers

    async def restrict(
        self, tx: Tx, person: Person, reason: str, by: str, cause: Cause, trace: str | None = None
    ) -> Restriction | None:
        """Restricts the files of all his ids, so that no undo of a merge lifts it; None if there is no customer.

        Of a file that is restricted already the first reason stands.
        """
        if not await self.customers.exists(tx, person.customer_id):
            return None
        new = await self.customers.restrict(tx, person.ids, cause, trace, restricted=True)
        await store.add(tx, new, reason, by, self.customers.clock.now())
        return await store.standing(tx, person.ids)

    async def lift(self, tx: Tx, person: Person, by: str, cause: Cause, trace: str | None = None) -> bool:
        """Lifts it for all his ids; False if there is no customer."""
        if not await self.customers.exists(tx, person.customer_id):
            return False
        lifted = await self.customers.restrict(tx, person.ids, cause, trace, restricted=False)
        await store.lift(tx, lifted, by, self.customers.clock.now())
        return True

    async def standing(self, tx: Tx, person: Person) -> Restriction | None:
        """What restricts him."""
        return await store.standing(tx, person.ids)
