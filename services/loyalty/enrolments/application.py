"""Enrolling, renewing, cancelling. Points and tiers don't hang on it: who isn't enrolled earns all the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.enrolments import store
from services.loyalty.enrolments.domain import Enrolment, EnrolmentRefused, Term, holding, member_number, months_after
from services.loyalty.ledger import application as ledger
from shared.clock import Clock
from shared.contracts.types import Money
from shared.db import Tx
from shared.messaging import merges
from shared.messaging.erased import Erased


class Terms(msgspec.Struct, frozen=True):
    """How long, and for how much; no fee is a term that costs nothing."""

    months: int
    fee: Money | None = None


@dataclass(frozen=True, slots=True)
class Enrolments:
    """Memberships. They stay with the account of the id that they were made under; a person has one open at a time."""

    clock: Clock
    zone: ZoneInfo
    erased: Erased

    async def enrol(self, tx: Tx, customer: str, plan: str | None, terms: Terms | None) -> Enrolment:
        """Opens a membership from now on, and an account where there is none; without terms it has no end.

        Raises EnrolmentRefused while another one isn't cancelled, CustomerIsErased.
        """
        groups = await merges.groups_of(tx, [customer])
        await self.erased.refuse(tx, [customer])
        now = self.clock.now()
        accounts = await ledger.open_groups(tx, [customer], groups, now)
        own = await store.of(tx, [account.account_id for account in accounts.values()])
        for one in own:
            if one.cancelled_at is None:
                raise EnrolmentRefused("already-enrolled", "Renew or cancel the membership there is.", one.enrolment_id)
        enrolment = Enrolment(
            f"en_{uuid4().hex}", customer, member_number(await store.next_number(tx)), plan, now, None,
            [_term(now, now, terms, self.zone)],
        )  # fmt: skip
        await store.add(tx, accounts[customer].account_id, enrolment)
        return enrolment

    async def renew(self, tx: Tx, enrolment_id: str, terms: Terms) -> Enrolment:
        """Adds a term after the last one; from now on where that is over.

        Raises LookupError, and EnrolmentRefused where it was cancelled or has no end.
        """
        before = await self._open(tx, enrolment_id)
        if before.until is None:
            raise EnrolmentRefused("enrolment-without-end", "This membership has no end.", enrolment_id)
        now = self.clock.now()
        term = _term(max(now, before.until), now, terms, self.zone)
        await store.add_term(tx, enrolment_id, len(before.terms) + 1, term)
        return msgspec.structs.replace(before, terms=[*before.terms, term])

    async def cancel(self, tx: Tx, enrolment_id: str) -> Enrolment:
        """Ends it now. Raises LookupError, and EnrolmentRefused where it was cancelled before."""
        before = await self._open(tx, enrolment_id)
        now = self.clock.now()
        await store.cancel(tx, enrolment_id, now)
        return msgspec.structs.replace(before, cancelled_at=now)

    async def of(self, tx: Tx, accounts: Sequence[int]) -> Enrolment | None:
        """The membership that counts of a person's accounts."""
        return holding(await store.of(tx, accounts), self.clock.now())

    async def one(self, tx: Tx, enrolment_id: str) -> Enrolment:
        """That membership. Raises LookupError."""
        found = await store.one(tx, enrolment_id)
        if found is None:
            raise LookupError(f"there is no enrolment {enrolment_id}")
        return found

    async def numbered(self, tx: Tx, number: str) -> Enrolment:
        """The membership of that number. Raises LookupError."""
        found = await store.numbered(tx, number)
        if found is None:
            raise LookupError("there is no member of this number")
        return found

    async def _open(self, tx: Tx, enrolment_id: str) -> Enrolment:
        found = await store.one(tx, enrolment_id, locked=True)
        if found is None:
            raise LookupError(f"there is no enrolment {enrolment_id}")
        if found.cancelled_at is not None:
            raise EnrolmentRefused("enrolment-cancelled", "This membership was cancelled.", enrolment_id)
        return found


async def forget(tx: Tx, customers: Sequence[str]) -> int:
    """Of the erased: their numbers, and whose the terms were. The terms stay for the books, and name nobody."""
    return await store.forget(tx, customers)


def _term(since: datetime, now: datetime, terms: Terms | None, zone: ZoneInfo) -> Term:
    if terms is None:
        return Term(since, None, None, None, now)
    fee = terms.fee
    return Term(
        since, months_after(since, terms.months, zone), fee.minor if fee else None, fee.currency if fee else None, now
    )
