"""Writing down what other systems know a customer by, and finding him by it."""

from dataclasses import dataclass
from uuid import uuid4

import msgspec

from services.profile.customers.application import Customers
from services.profile.customers.contact_points import ContactKind, normalised
from services.profile.identifiers import store
from services.profile.identifiers.domain import Identifier, IdentifierKind, Taken, as_kept, sealed
from services.profile.identities.application import Identities
from services.profile.identities.domain import NotByRule, Person, Rule
from services.profile.policies import application as policies
from services.profile.vault.application import Vault
from shared.db import Tx
from shared.messaging import merges


class Ambiguous(Exception):
    """Several persons have what was looked up."""


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The use cases of this module."""

    customers: Customers
    identities: Identities

    async def add(
        self, tx: Tx, person: Person, kind: IdentifierKind, value: str, *, verified: bool = False
    ) -> Identifier | None:
        """Keeps an identifier, or finds it kept under one of his ids; None if there is no such customer.

        One that is verified and that another has verified, too, makes the two one person where the policy says so;
        whoever adds it holds the lock of merges (``hold``) from the first. Raises Taken, InvalidIdentifier.
        """
        if not await self.customers.exists(tx, person.customer_id):
            return None
        now = self.customers.clock.now()
        new = Identifier(f"i_{uuid4().hex}", person.customer_id, kind, as_kept(kind, value), now, verified)
        digest = (await self._vault.index(tx)).digest(kind, new.value)
        sealer = (await self._vault.sealers(tx, [person.customer_id]))[person.customer_id]
        while not await store.add(tx, new, sealed(kind, new.value, sealer), digest):
            if known := await store.held(tx, self._vault.opener, kind, digest):
                if known.customer_id not in person.ids and not (verified and await self._one(tx, person, known)):
                    raise Taken(known.customer_id)
                if verified and not known.verified:
                    await store.verify(tx, known.identifier_id)
                await store.claim(tx, known)
                return msgspec.structs.replace(known, verified=known.verified or verified)
        return new

    async def hold(self, tx: Tx) -> None:
        """Nobody's group changes until the transaction ends: before any other lock."""
        await merges.hold(tx)

    async def _one(self, tx: Tx, person: Person, known: Identifier) -> bool:
        """Whether a rule makes the two one person."""
        policy = await policies.merging(tx)
        if not (known.verified and policy.on and known.kind in policy.kinds):
            return False
        rule = Rule(policy.version, (known.kind,))
        try:
            await self.identities.merge_by_rule(tx, (known.customer_id, person.customer_id), rule)
        except NotByRule:
            return False
        return True

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
                kept = normalised(kind, value, self.customers.phone_region)
        found = await store.whose(tx, kind, (await self._vault.index(tx)).digest(kind, kept))
        if len(found) > 1:
            raise Ambiguous
        return found[0] if found else None

    @property
    def _vault(self) -> Vault:
        return self.customers.vault
