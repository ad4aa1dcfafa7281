"""Which segments customers are in, as profile publishes it: gates of rewards, and who gets coupons.

A segment is named as profile names it: ``regulars`` of the shop's own, ``lifecycle:dormant`` of the others.
"""

from collections.abc import Sequence

from services.loyalty.segments import store
from shared.contracts.segments import SegmentChanged
from shared.db import Tx
from shared.messaging.events import Event
from shared.messaging.intake import Outcome

_IN, _OUT = "in", "out"


async def apply_segments(tx: Tx, events: Sequence[Event]) -> Outcome:
    """Of each customer and segment the change with the highest number stands, in whatever order they arrive."""
    newest: dict[tuple[str, str], SegmentChanged] = {}
    for event in events:
        data: SegmentChanged = event.data
        key = (data.customer_id, data.segment)
        if key not in newest or newest[key].sequence < data.sequence:
            newest[key] = data
    rows = [(*key, one.after or _OUT, one.sequence, one.occurred_at) for key, one in newest.items()]
    await store.save(tx, rows)
    return Outcome()


async def is_in_any(tx: Tx, accounts: Sequence[int], names: Sequence[str]) -> bool:
    """Whether the person of these accounts is in one of these segments, under any of his ids."""
    return await store.in_any(tx, accounts, [_place(name) for name in names])


async def members(tx: Tx, name: str, limit: int) -> list[str]:
    """The ids that are in a segment, so many at the most."""
    return await store.members(tx, _place(name), limit)


async def forget(tx: Tx, ids: Sequence[str]) -> int:
    """For an erasure; how many rows there were."""
    return await store.forget(tx, ids)


def _place(name: str) -> store.Place:
    segment, _, place = name.partition(":")
    return segment, place or _IN
