"""Points that no order made: given and withdrawn."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from services.loyalty.ledger import lots_store
from services.loyalty.ledger.application import SERVICE, Account, Journal, open_accounts, open_groups
from services.loyalty.ledger.domain import Award, Cause, Grant, Lot
from services.loyalty.ledger.persons import settle_persons
from shared.contracts.points import PointsGranted
from shared.contracts.types import Cause as CausedBy
from shared.db import Tx
from shared.messaging import merges, outbox
from shared.messaging.outbox import UNNUMBERED, Outgoing


class Given(msgspec.Struct, frozen=True):
    """Points for a customer; ``grant_id`` is unique among those of its kind: given twice, it is given once.

    ``currency``: the programme's. ``withdrawn``: it was given, and taken back.
    """

    customer_id: str
    kind: Grant
    grant_id: str
    points: int
    occurred_at: datetime
    available_from: datetime
    expires_at: datetime | None
    programme_version: int
    currency: str
    cause: Cause
    withdrawn: bool = False

    def award(self) -> Award:
        """As the ledger has it."""
        points, reversed = (0, self.points) if self.withdrawn else (self.points, 0)
        return Award(
            self.grant_id, self.occurred_at, self.currency, 0, points, reversed, self.programme_version,
            self.programme_version, self.available_from, self.expires_at, self.kind,
        )  # fmt: skip


async def give(tx: Tx, grants: Sequence[Given], now: datetime, *, tell: bool = True) -> list[Given]:
    """Gives what wasn't given yet and takes back what was withdrawn, spent or not; answers what was new of it.

    Locks accounts: none may be locked by the transaction already. ``tell``: whether ``points-granted`` is published;
    what the ledger does, always is.
    """
    if not grants:
        return []
    customers = sorted({grant.customer_id for grant in grants})
    groups = await merges.groups_of(tx, customers)
    if groups.others:
        accounts = await open_groups(tx, customers, groups, now)
    else:
        accounts = await open_accounts(tx, customers, now)
    journal = Journal(now)
    fresh = await enter(tx, journal, accounts, grants, tell=tell)
    causes = {grant.customer_id: grant.cause for grant in fresh}
    await settle_persons(tx, journal, accounts.values(), lambda one: causes.get(one.customer_id, grants[0].cause))
    await journal.write(tx, accounts.values())
    await outbox.append(tx, SERVICE, journal.events, now)
    return fresh


async def enter(
    tx: Tx, journal: Journal, accounts: Mapping[str, Account], grants: Sequence[Given], *, tell: bool = True,
    judged: bool = False,
) -> list[Given]:  # fmt: skip
    """The same into a journal, for locked accounts by customer.

    ``judged``: by all that is known, so that what was given otherwise before is brought to it, which isn't told.
    """
    keys = sorted({grant.award().key for grant in grants})
    there = {lot.award.key: lot for lot in await lots_store.lots_by_key(tx, keys)}
    fresh = []
    for grant in grants:
        award = grant.award()
        lot = journal.added.get(award.key) or journal.changed.get(award.key) or there.get(award.key)
        account = accounts[grant.customer_id]
        if lot is None:
            journal.open_lot(account, Lot(account.account_id, award), grant.cause)
        elif grant.withdrawn and lot.award.points:
            taken_back = msgspec.structs.replace(lot.award, points=0, reversed=lot.award.points)
            journal.change_lot(account, msgspec.structs.replace(lot, award=taken_back), grant.cause)
        elif judged and not lot.award.reversed and lot.account_id == account.account_id and lot.award != award:
            journal.change_lot(account, msgspec.structs.replace(lot, award=award), grant.cause)
            continue
        else:
            continue
        fresh.append(grant)
        if tell and grant.points:
            journal.events.append(Outgoing(_granted(grant), grant.cause.traceparent))
    return fresh


def _granted(grant: Given) -> PointsGranted:
    return PointsGranted(
        customer_id=grant.customer_id,
        sequence=UNNUMBERED,
        caused_by=CausedBy(source=grant.cause.source, id=grant.cause.id),
        occurred_at=grant.occurred_at,
        grant_id=grant.grant_id,
        kind=grant.kind,
        points=grant.points,
        available_from=grant.available_from,
        programme_version=grant.programme_version,
        expires_at=grant.expires_at,
        withdrawn=grant.withdrawn,
    )
