"""Everything that profile holds of one person, under all his ids (GDPR art. 15 and 20, PIPL art. 45)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.profile.accesses.application import AccessRecord
from services.profile.contact_persons.application import ContactPersons
from services.profile.customers.application import Customers
from services.profile.exports import store
from services.profile.identifiers.application import Identifiers
from services.profile.identities.domain import Person
from shared.db import Tx, execute
from shared.exports import rows

SCHEMA_VERSION = 1
AT_ONCE = 500
ELSEWHERE: Mapping[str, Sequence[str]] = {
    "loyalty": ("/accounts/{customer_id}/export",),
    "engagement": ("/customers/{customer_id}/export",),
    "churn": ("/customers/{customer_id}/export",),
}
"""Which routes of the other services tell the rest."""
_OF_STAFF = "staff:"
"""How the source of a value begins that names who of the staff wrote it."""
_ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@dataclass(frozen=True, slots=True)
class Exports:
    """The use case of this module."""

    customers: Customers
    contact_persons: ContactPersons
    identifiers: Identifiers
    record: AccessRecord

    async def document(self, tx: Tx, person: Person, *, for_staff: bool) -> list[bytes]:
        """One JSON document as of one moment, in pieces; ``tx`` has run no statement yet.

        Staff who were shown data are named to staff alone: who reads his own data learns when, by which route and what
        for (CJEU C-579/21, 2023).
        """
        await execute(tx, _ONE_MOMENT)
        head = {
            "schema_version": SCHEMA_VERSION,
            "generated_at": self.customers.clock.now(),
            "customer_id": person.customer_id,
            "customer_ids": person.ids,
            "elsewhere": ELSEWHERE,
        }
        pieces = [msgspec.json.encode(head)[:-1]]
        async for name, section in self._sections(tx, person, for_staff):
            pieces.append(b"," + msgspec.json.encode(name) + b":" + msgspec.json.encode(section, enc_hook=str))
        return [*pieces, b"}"]

    async def _sections(self, tx: Tx, person: Person, for_staff: bool) -> AsyncIterator[tuple[str, Sequence[Any]]]:
        files = [await self.customers.find(tx, customer) for customer in person.ids]
        yield "files", [file for file in files if file]
        yield "history", [said async for said in self._history(tx, person, for_staff)]
        yield "contact_persons", await self._contact_persons(tx, person)
        yield "identifiers", await self._identifiers(tx, person)
        for name, section in store.SECTIONS.items():
            yield name, await rows(tx, section, person.ids, for_staff=for_staff)
        yield "accesses", await self._accesses(tx, person, for_staff)

    async def _history(self, tx: Tx, person: Person, for_staff: bool) -> AsyncIterator[dict[str, Any]]:
        after = None
        while page := await self.customers.history(tx, person.ids, None, after=after, limit=AT_ONCE):
            for said in page:
                shown = msgspec.structs.asdict(said)
                if not for_staff and said.source.startswith(_OF_STAFF):
                    shown["source"] = "staff"
                yield shown
            after = (page[-1].true_at, page[-1].id)

    async def _contact_persons(self, tx: Tx, person: Person) -> list[Any]:
        found: list[Any] = []
        after = None
        while page := await self.contact_persons.page(tx, person.ids, after, AT_ONCE):
            found += page
            after = page[-1].person_id
        return found

    async def _identifiers(self, tx: Tx, person: Person) -> list[Any]:
        found: list[Any] = []
        after = None
        while page := await self.identifiers.page(tx, person, after, AT_ONCE):
            found += page
            after = page[-1].identifier_id
        return found

    async def _accesses(self, tx: Tx, person: Person, for_staff: bool) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = None
        while page := await self.record.page(tx, person.ids, after, AT_ONCE):
            for kept in page:
                access = msgspec.structs.asdict(kept.access)
                found.append(access if for_staff else {**access, "subject": None})
            after = page[-1].access_id
        return found
