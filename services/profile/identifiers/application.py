"""Writing down what other systems know a customer by, and finding him by it."""

from dataclasses import dataclass
from uuid import uuid4

from services.profile.customers.application import Customers
from services.profile.customers.contact_points import ContactKind, ContactPoint, normalised
from services.profile.identifiers import store
from services.profile.identifiers.domain import Identifier, IdentifierKind, Taken, as_kept, sealed
from services.profile.identities.domain import Person
from services.profile.vault.application import Vault
from shared.db import Tx


class Ambiguous(Exception):
    """Several persons have what was looked up."""


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The use cases of this module."""

    customers: Customers

    async def add(self, tx: Tx, person: Person, kind: IdentifierKind, value: str) -> Identifier | None:
        """Keeps an identifier, or finds it kept under one of his ids; None if there is no such customer.

        Raises Taken, InvalidIdentifier.
        """
        if not await self.customers.exists(tx, person.customer_id):
            return None
        now = self.customers.clock.now()
        new = Identifier(f"i_{uuid4().hex}", person.customer_id, kind, as_kept(kind, value), now)
        digest = (await self._vault.index(tx)).digest(kind, new.value)
        sealer = (await self._vault.sealers(tx, [person.customer_id]))[person.customer_id]
        while not await store.add(tx, new, sealed(kind, new.value, sealer), digest):
            if known := await store.held(tx, self._vault.opener, kind, digest):
                if known.customer_id not in person.ids:
                    raise Taken(known.customer_id)
                return known
        return new

    async def find(self, tx: Tx, person: Person, identifier_id: str) -> Identifier | None:
        """One of his identifiers."""
        return await store.find(tx, self._vault.opener, person.ids, identifier_id)

    async def remove(self, tx: Tx, person: Person, identifier_id: str) -> Identifier | None:
        """Takes one of his identifiers away, and answers what it was."""
        known = await store.find(tx, self._vault.opener, person.ids, identifier_id, lock=True)
        if known is not None:
            await store.remove(tx, identifier_id)
        return known

    async def page(self, tx: Tx, person: Person, after: str | None, limit: int) -> list[Identifier]:
        """His identifiers, under all his ids."""
        return await store.page(tx, self._vault.opener, person.ids, after, limit)

    async def whose(self, tx: Tx, kind: ContactKind | IdentifierKind, value: str) -> str | None:
        """The customer who has an address or an identifier, None if nobody has.

        Raises Ambiguous, InvalidContactPoint, InvalidIdentifier.
        """
        match kind:
            case "member-number" | "card" | "external":
                kept = as_kept(kind, value)
            case _:
                kept = normalised(ContactPoint(kind, value), self.customers.phone_region).value
        found = await store.whose(tx, kind, (await self._vault.index(tx)).digest(kind, kept))
        if len(found) > 1:
            raise Ambiguous
        return found[0] if found else None

    @property
    def _vault(self) -> Vault:
        return self.customers.vault
