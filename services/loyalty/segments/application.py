"""Which segments customers are in, as profile publishes it: gates of rewards, who gets coupons, what rules ask for.

A segment is named as profile names it: ``regulars`` of the shop's own, ``lifecycle:dormant`` of the others.
"""

from collections.abc import Iterable, Mapping, Sequence

from services.loyalty.segments import store
from services.loyalty.segments.domain import OUT, Change, Membership, place_of
from shared.contracts.segments import SegmentChanged
from shared.db import Tx
from shared.messaging.events import Event


async def keep(tx: Tx, events: Sequence[Event]) -> None:
    """Everything that was said is kept; of each customer and segment the change with the highest number is what is
    now, in whatever order they arrive."""
    newest: dict[tuple[str, str], SegmentChanged] = {}
    history: dict[tuple[str, str, int], SegmentChanged] = {}
    for event in events:
        data: SegmentChanged = event.data
        key = (data.customer_id, data.segment)
        history[(*key, data.sequence)] = data
        if key not in newest or newest[key].sequence < data.sequence:
            newest[key] = data
    await store.add(tx, [(*key, one.after or OUT, one.occurred_at) for key, one in history.items()])
    await store.save(tx, [(*key, one.after or OUT, one.sequence, one.occurred_at) for key, one in newest.items()])


async def memberships(tx: Tx, customers: Iterable[str], segments: Iterable[str]) -> dict[str, Membership]:
    """What is known of these customers in these segments; nothing is read where no segment is asked for.

    Whoever judges by it locks their accounts first: what is being taken in at this moment locks them, too.
    """
    wanted = sorted(set(segments))
    if not wanted:
        return {}
    found: dict[str, dict[str, list[Change]]] = {}
    for customer, segment, change in await store.history(tx, sorted(set(customers)), wanted):
        found.setdefault(customer, {}).setdefault(segment, []).append(change)
    return {customer: Membership(changes) for customer, changes in found.items()}


async def hold(tx: Tx) -> None:
    """No version that asks for segments appears until the transaction ends. Before any other lock."""
    await store.hold(tx)


async def wait(tx: Tx) -> None:
    """Waits for what is being taken in, and keeps more from it until the transaction ends. Before any other lock."""
    await store.wait(tx)


async def is_in_any(tx: Tx, accounts: Sequence[int], names: Sequence[str]) -> bool:
    """Whether the person of these accounts is in one of these segments, under any of his ids."""
    return await store.in_any(tx, accounts, [place_of(name) for name in names])


async def members(tx: Tx, name: str, limit: int) -> list[str]:
    """The ids that are in a segment, so many at the most."""
    return await store.members(tx, place_of(name), limit)


async def forget(tx: Tx, names: Mapping[str, str]) -> int:
    """For an erasure; how many rows there were. What orders were judged by stays with them, under their names."""
    return await store.forget(tx, names)
