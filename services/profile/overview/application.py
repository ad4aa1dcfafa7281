"""Reading customers whole."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from services.profile.customers.application import FILE_COLUMNS, Customers
from services.profile.customers.domain import CustomerFile
from services.profile.customers.quality import Quality, quality
from services.profile.identities.domain import Person
from services.profile.overview import state_store, store
from services.profile.overview.domain import SHARE_DAYS, Judged, Listed, Said, Share, judge, share_of
from services.profile.overview.filling import filled
from services.profile.policies.application import Remembered, in_force
from services.profile.policies.domain import Policies
from services.profile.purchases.domain import House
from services.profile.rates.application import rate_on
from services.profile.timeline.domain import ContactNews
from shared.clock import Clock
from shared.db import Reader, Tx


class Overview(msgspec.Struct, frozen=True):
    """A customer, whole, as of now. ``merged_into`` where he was asked for by another id of his; ``filled_from``: of
    the parts that the survivor's file leaves empty, which of his other files they are from."""

    file: CustomerFile
    said: Said
    judged: Judged
    next_contact: ContactNews | None
    quality: Quality
    merged_into: str | None
    segments: list[str]
    filled_from: dict[str, str]


EVERYBODY = 2**31
_BY_ARRIVAL = {"created_at", "updated_at", "version"}


@dataclass(frozen=True, slots=True)
class Overviews:
    """The reads of this module, computed for the clock's now."""

    customers: Customers
    house: House
    clock: Clock
    policies: Remembered = field(default_factory=Remembered)

    async def of(self, tx: Tx, file: CustomerFile, person: Person) -> Overview:
        """The customer of a file that was read in this transaction, all his ids taken together."""
        filled_from: dict[str, str] = {}
        if len(person.ids) > 1:
            others = [one for one in person.ids if one != file.customer_id]
            file, filled_from = filled(file, await self.customers.find_all(tx, others))
        beside = await store.one(tx, file.customer_id, person.ids)
        share = await self._share(tx, file, person.ids)
        return self._judged(file, *beside, await in_force(tx), person.merged_into, filled_from, share)

    async def alone(self, reader: Reader, customer_id: str) -> Overview | None:
        """The same in one statement of somebody who has one id alone; None of who is joined, or has no file. Whose
        wallet was estimated takes another."""
        row = await store.alone(reader, FILE_COLUMNS, customer_id)
        if row is None:
            return None
        policies = await self.policies.in_force(reader, row["policies"])
        file = self.customers.file_of(row)
        share = await self._share(reader, file, [customer_id]) if file.wallet_estimate else None
        return self._judged(file, *store.beside(row), policies, None, {}, share)

    async def _share(self, reader: Reader, file: CustomerFile, ids: Sequence[str]) -> Share | None:
        """Of an estimate that the file has."""
        if (estimate := file.wallet_estimate) is None:
            return None
        today = self.house.day(self.clock.now())
        spent = await store.spent(reader, ids, today - timedelta(days=SHARE_DAYS), today)
        if spent is None:
            return None
        foreign = estimate.currency != self.house.currency
        rate = await rate_on(reader, estimate.currency, today) if foreign else None
        at = file.said_at.get("wallet_estimate", file.updated_at)
        return share_of(spent, estimate, at, rate, self.house, today)

    def _judged(
        self,
        file: CustomerFile,
        said: Said,
        next_contact: ContactNews | None,
        segments: list[str],
        policies: Policies,
        merged_into: str | None,
        filled_from: dict[str, str],
        share: Share | None,
    ) -> Overview:
        now = self.clock.now()
        judged = judge(said, policies, self.house, now, share)
        found = quality(file, self.house.day, now)
        return Overview(file, said, judged, next_contact, found, merged_into, segments, filled_from)

    async def many(
        self, tx: Tx, filters: Mapping[str, str | None], limit: int, *, restricted: bool = False
    ) -> list[tuple[Listed, Judged]]:
        """Customers by tag, owner, segment, lifecycle, tier, risk, prefix of the name (``q``); by id, ``after`` one.

        ``restricted``: those whose files are stored and not used are listed, too.
        """
        policies, now = await in_force(tx), self.clock.now()
        listed = await store.many(tx, filters, policies.lifecycle, self.house.day(now), limit, restricted=restricted)
        return [(one, judge(one.said, policies, self.house, now)) for one in listed]

    async def state_hash(self, tx: Tx) -> str:
        """SHA-256 over the facts and all that is computed of them at the clock's now, sorted.

        Left out is what follows arrival: which event first brought a fact, when somebody was first met or seen in a
        class, versions of the file, sequences. What jobs make is in it as far as they have come.
        """
        digest = hashlib.sha256()
        for row in await store.facts_and_contacts(tx):
            digest.update(msgspec.json.encode(tuple(row.values())) + b"\n")
        async for row in state_store.rows(tx):
            digest.update(msgspec.json.encode(tuple(row.values())) + b"\n")
        for file in await self.customers.find_all(tx, await state_store.customers(tx)):
            said = {name: value for name, value in msgspec.structs.asdict(file).items() if name not in _BY_ARRIVAL}
            digest.update(msgspec.json.encode(said, order="deterministic") + b"\n")
        for listed, judged in await self.many(tx, {}, EVERYBODY, restricted=True):
            purchases = msgspec.structs.replace(listed.said.purchases, last_source=None, last_event_id=None)
            line = (listed.customer_id, purchases, listed.said.standing, judged)
            digest.update(msgspec.json.encode(line, order="deterministic") + b"\n")
        return digest.hexdigest()
