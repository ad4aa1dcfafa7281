"""Who is held out, for those who treat the others."""

from collections.abc import Sequence

from services.loyalty.effects import store
from shared.db import Tx


async def is_held_out(tx: Tx, target: str, accounts: Sequence[int], percent: int) -> bool:
    """Whether a reward is kept from the person of these accounts: from one of his ids is enough."""
    return await store.is_held_out(tx, target, accounts, percent)
