"""What others tell referrals of: orders and persons that have changed. The job judges them."""

from collections.abc import Mapping, Set
from datetime import datetime

from services.loyalty.referrals import store
from shared.db import Tx
from shared.messaging.facts import PURCHASE, Recorded
from shared.messaging.merges import Groups


async def orders_changed(tx: Tx, recorded: Recorded, refold: Set[str], groups: Groups, now: datetime) -> None:
    """New orders with codes are referrals; those of customers who are folded again, or bought under one of several ids,
    are judged anew.

    Who buys once more alone under his only id costs nothing: it is after his first purchase. Their accounts are locked.
    """
    coded = {
        event.data.order_id: (event.data.order_id, event.data.customer_id, event.data.occurred_at)
        for event in recorded.fresh
        if event.topic.name == PURCHASE and event.data.referral_code is not None
    }
    if coded:
        await store.open_(tx, list(coded.values()), now)
    customers = set(refold)
    if groups.others:
        customers |= {id for one in recorded.customers if groups.is_joined(one) for id in groups.members(one)}
    if customers:
        await store.mark_referees(tx, sorted(customers), now)


async def persons_changed(tx: Tx, customers: Set[str], now: datetime) -> None:
    """Who was merged or parted: under the lock on merges."""
    if customers:
        await store.mark_persons(tx, sorted(customers), now)


async def forget(tx: Tx, names: Mapping[str, str]) -> int:
    """Referrals of erased ids by the names that their orders are kept under, without codes; how many rows that were.

    They are judged as before: what the other side was given, stays his."""
    return await store.rename(tx, names)
