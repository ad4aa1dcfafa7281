"""What other numbers set off by which files are suggested as one person's, and other kinds of key that join them."""

import msgspec

from services.profile.duplicates import store
from services.profile.policies.domain import MergingPolicy
from shared.db import Tx


async def look_again(tx: Tx, numbers: msgspec.Struct) -> None:
    """Has every pair looked at by the policy ``merging``, or everybody compared by ``similarity``, as just put in
    force."""
    await store.turn(tx)
    if isinstance(numbers, MergingPolicy):
        await store.reconsider(tx, numbers.kinds, on=numbers.on)
    else:
        await store.mark_all(tx)
