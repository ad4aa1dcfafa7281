"""Persons whose points don't add up any longer: what they took is set against what they have, the difference posted."""

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby

import asyncpg

from services.loyalty.ledger import lots_store, store, uses_store
from services.loyalty.ledger.application import Account, Journal
from services.loyalty.ledger.domain import Cause, Lot, LotKey, Posting, Subject
from services.loyalty.ledger.spending import Take, uses
from shared.db import Tx


async def settle_persons(
    tx: Tx, journal: Journal, accounts: Iterable[Account], cause_of: Callable[[Account], Cause]
) -> None:
    """Brings the lots of those of locked accounts' persons who are unsettled to what their takes and holds come to.

    All accounts of such a person have to be among them: else it raises a transient error. Everybody else costs nothing.
    """
    known = sorted(accounts, key=lambda account: (account.person, account.account_id))
    persons = [list(members) for _, members in groupby(known, key=lambda account: account.person)]
    unsettled = [members for members in persons if any(account.unsettled for account in members)]
    if not unsettled:
        return
    ids = [account.account_id for members in unsettled for account in members]
    if len(await store.persons_of(tx, ids)) != len(ids):
        # Who waits for an account doesn't see one that was opened for another id of the same person meanwhile.
        raise asyncpg.SerializationError("an account of the same person was opened meanwhile: to be tried again")
    lots = await _lots(tx, journal, ids)
    takes = await uses_store.takes_of(tx, ids)
    holds = await uses_store.open_holds(tx, ids)
    foreign: list[tuple[str, int]] = []
    for members in unsettled:
        own = {account.account_id: account for account in members}
        mine = [lot for lot in lots.values() if lot.account_id in own]
        taken = [take for take in takes if take.account_id in own]
        found = uses(mine, taken, [hold for hold in holds if hold.account_id in own], journal.now)
        for lot in sorted(mine, key=lambda lot: lot.award.key):
            account, key = own[lot.account_id], lot.award.key
            journal.use_lot(
                account, lot, cause_of(account), spent=found.spent.get(key, 0), held=found.held.get(key, 0),
                repaid=found.repaid.get(key, 0),
            )  # fmt: skip
        foreign += _post_foreign(journal, own, taken, found.foreign, cause_of)
        for account in members:
            account.unsettled = found.owing
    await uses_store.note_foreign(tx, sorted(foreign))


async def unsettle_users(tx: Tx, accounts: Iterable[Account]) -> None:
    """Marks those accounts of whose points something was used: their persons have become others."""
    by_id = {account.account_id: account for account in accounts}
    for account_id in await uses_store.users(tx, list(by_id)):
        by_id[account_id].unsettled = True


async def _lots(tx: Tx, journal: Journal, ids: list[int]) -> dict[LotKey, Lot]:
    lots = {lot.award.key: lot for lot in await lots_store.lots_of(tx, ids)}
    written = {**lots, **journal.changed, **journal.added}
    return {key: lot for key, lot in written.items() if lot.account_id in ids}


def _post_foreign(
    journal: Journal, own: Mapping[int, Account], takes: Iterable[Take], foreign: Mapping[str, int],
    cause_of: Callable[[Account], Cause],
) -> list[tuple[str, int]]:  # fmt: skip
    changed = []
    for take in sorted(takes, key=lambda take: take.take_id):
        more = foreign[take.take_id] - take.foreign
        if not more:
            continue
        account = own[take.account_id]
        cause = cause_of(account)
        posting = (
            Posting("owed", "debt", "redeemed", more, cause.occurred_at)
            if more > 0
            else Posting("backed", "redeemed", "debt", -more, cause.occurred_at)
        )
        journal.post(account, Subject("take", take.take_id), posting, cause)
        changed.append((take.take_id, foreign[take.take_id]))
    return changed
