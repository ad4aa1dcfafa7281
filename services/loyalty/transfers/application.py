"""Giving points to somebody else: they keep what they were, when they become available and when they expire."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

from services.loyalty.ledger import grants
from services.loyalty.ledger.application import SERVICE, Account, Journal, lock_persons
from services.loyalty.ledger.domain import Award, Cause
from services.loyalty.ledger.grants import Given
from services.loyalty.ledger.persons import settle_persons
from services.loyalty.ledger.purse import REQUESTS, Purse, Spent, purse_of
from services.loyalty.ledger.spending import Take
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme, in_force
from services.loyalty.programmes.rules import day_began
from services.loyalty.transfers import store
from services.loyalty.transfers.domain import SameCustomerError, Transfer, TransferLimitError, Transferred
from shared.clock import Clock
from shared.db import Tx
from shared.messaging import merges, outbox

HIMSELF = "customer"
"""The actor where a customer gives what is his: who he is, his account says, as long as it has his name."""


def of_staff(subject: str) -> str:
    """The actor where staff does: whose tokens may name any subject, also this one."""
    return f"staff:{subject}" if subject == HIMSELF else subject


@dataclass(frozen=True, slots=True)
class Transfers:
    """Points from one person to another, in one transaction. ``zone``: the house's."""

    clock: Clock
    programmes: Programmes
    zone: ZoneInfo

    async def transfer(
        self, tx: Tx, giver: str, taker: str, points: int, reason: str | None, actor: str
    ) -> Transferred:
        """Takes points of the giver's lots, the soonest to expire first, and gives the taker a lot for each, with the
        dates that it has. Raises LookupError where one of them has no account, SameCustomerError, ShortOfPointsError,
        and TransferLimitError where the actor is the giver HIMSELF.
        """
        now = self.clock.now()
        programme = in_force(await self.programmes.known(tx), now)
        assert programme is not None, "the first version is in force since 1970"
        accounts = await lock_persons(tx, [giver, taker])
        if not accounts.get(giver) or not accounts.get(taker):
            raise LookupError("there is no such account")
        if accounts[giver].keys() & accounts[taker].keys():
            raise SameCustomerError
        if actor == HIMSELF:
            await self._within_limit(tx, list(accounts[giver]), programme, points, now)
        transfer_id = f"tr_{uuid4().hex}"
        cause = Cause(REQUESTS, transfer_id, now)
        purse = await purse_of(tx, accounts[giver], now, cause)
        take = purse.take(transfer_id, "transfer", points, Spent())
        owner = _owner(accounts[taker])
        given = _given(purse, take, owner.customer_id, programme)
        told = await purse.close()
        journal = Journal(now)
        await grants.enter(tx, journal, {owner.customer_id: owner}, given)
        await settle_persons(tx, journal, accounts[taker].values(), lambda _: cause)
        await journal.write(tx, accounts[taker].values())
        await outbox.append(tx, SERVICE, [*told, *journal.events], now)
        transfer = Transfer(
            transfer_id, purse.owner.account_id, owner.account_id, points, reason, actor, now, taker
        )
        await store.add(tx, transfer)
        return Transferred(transfer, purse.owner.customer_id, owner.customer_id)

    async def _within_limit(
        self, tx: Tx, accounts: list[int], programme: Programme, points: int, now: datetime
    ) -> None:
        """The giver is locked: what he gives at the same time waits, and counts this."""
        if programme.transfers_per_day is None:
            return
        given = await store.given(tx, accounts, HIMSELF, day_began(now, self.zone))
        if given + points > programme.transfers_per_day:
            raise TransferLimitError(programme.transfers_per_day, max(0, programme.transfers_per_day - given))

    async def one(self, tx: Tx, transfer_id: str) -> Transferred:
        """A transfer. Raises LookupError."""
        # An erasure renames accounts: it comes before or after.
        await merges.share(tx)
        found = await store.one(tx, transfer_id)
        if found is None:
            raise LookupError("there is no such transfer")
        return found


async def forget(tx: Tx, names: Mapping[str, str]) -> int:
    """For an erasure, by ids and the names that the accounts have by then: no reason stays, nor who was named; how many
    reasons that were."""
    return await store.forget(tx, names)


def _owner(accounts: Mapping[int, Account]) -> Account:
    return accounts[next(iter(accounts.values())).person]


def _given(purse: Purse, take: Take, customer: str, programme: Programme) -> list[Given]:
    given = []
    for number, (key, points) in enumerate(take.portions, start=1):
        award: Award = purse.journal.changed[key].award
        given.append(
            Given(
                customer_id=customer,
                kind="transfer",
                grant_id=f"{take.take_id}:{number}",
                points=points,
                occurred_at=take.occurred_at,
                available_from=award.available_from,
                expires_at=award.expires_at,
                programme_version=award.programme_version or programme.version,
                currency=award.currency,
                cause=purse.cause,
            )
        )
    return given
