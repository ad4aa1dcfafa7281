"""Who speaks for a company."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec

from services.profile.consents.domain import Consent
from services.profile.contact_persons import store
from services.profile.contact_persons.domain import ContactPerson, NoCompany
from services.profile.customers.application import Customers
from services.profile.customers.contact_points import all_normalised
from services.profile.vault.domain import Opener
from shared.db import Tx

Fields = Mapping[str, Any]


async def spokesmen(
    tx: Tx, opener: Opener, ids: Sequence[str], purpose: str
) -> dict[str, list[tuple[ContactPerson, dict[str, bool]]]]:
    """By company who speaks for it, the main person first, each with what he last said of a purpose by channel."""
    found: dict[str, list[tuple[ContactPerson, dict[str, bool]]]] = {}
    for person, granted in await store.spokesmen(tx, opener, ids, purpose):
        found.setdefault(person.customer_id, []).append((person, granted))
    return found


@dataclass(frozen=True, slots=True)
class ContactPersons:
    """The use cases of this module."""

    customers: Customers

    async def add(self, tx: Tx, customer_id: str, fields: Fields) -> ContactPerson | None:
        """A new person; None if there is no such customer. Raises NoCompany, InvalidContactPoint."""
        file = await self.customers.find(tx, customer_id)
        if file is None:
            return None
        if file.kind != "company":
            raise NoCompany(customer_id)
        await store.hold(tx, [customer_id])
        person = ContactPerson(person_id=f"p_{uuid4().hex}", customer_id=customer_id, **self._clean(fields))
        await self._put(tx, person)
        return person

    async def find(self, tx: Tx, ids: Sequence[str], person_id: str) -> ContactPerson | None:
        """A person of a company, under any of its ids."""
        return await store.find(tx, self.customers.vault.opener, ids, person_id)

    async def page(self, tx: Tx, ids: Sequence[str], after: str | None, limit: int) -> list[ContactPerson]:
        """The persons of a company, in the order of their ids."""
        return await store.page(tx, self.customers.vault.opener, ids, after, limit)

    async def change(
        self, tx: Tx, ids: Sequence[str], person_id: str, edit: Callable[[ContactPerson], Fields]
    ) -> ContactPerson | None:
        """The person with what ``edit`` makes of the locked one; None if there is none.

        Raises what ``edit`` raises, InvalidContactPoint.
        """
        await store.hold(tx, ids)
        before = await store.find(tx, self.customers.vault.opener, ids, person_id, lock=True)
        if before is None:
            return None
        after = msgspec.structs.replace(before, **self._clean(edit(before)))
        if after == before:
            return before
        after = msgspec.structs.replace(after, version=before.version + 1)
        await self._put(tx, after)
        return after

    async def remove(self, tx: Tx, ids: Sequence[str], person_id: str) -> ContactPerson | None:
        """The person who was removed; None if there is none."""
        person = await store.find(tx, self.customers.vault.opener, ids, person_id, lock=True)
        if person is not None:
            await store.delete(tx, person_id)
        return person

    async def say(self, tx: Tx, ids: Sequence[str], person_id: str, consent: Consent) -> bool:
        """Adds to what a person agrees to, for his own addresses; False if there is no such person."""
        person = await store.find(tx, self.customers.vault.opener, ids, person_id, lock=True)
        if person is not None:
            await store.say(tx, person, consent)
        return person is not None

    async def said(self, tx: Tx, ids: Sequence[str], person_id: str) -> list[Consent] | None:
        """What holds of a person, by channel and purpose; None if there is no such person."""
        if await self.find(tx, ids, person_id) is None:
            return None
        return await store.said(tx, person_id)

    async def _put(self, tx: Tx, person: ContactPerson) -> None:
        if person.main:
            await store.demote(tx, person)
        sealers = await self.customers.vault.sealers(tx, [person.customer_id])
        await store.put(tx, person, sealers[person.customer_id])

    def _clean(self, fields: Fields) -> Fields:
        return {**fields, "contact_points": all_normalised(fields["contact_points"], self.customers.phone_region)}
