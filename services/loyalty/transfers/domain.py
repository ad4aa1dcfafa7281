"""Points that went from one customer to another."""

from datetime import datetime

import msgspec


class Transfer(msgspec.Struct, frozen=True):
    """``points`` of the accounts that answer for the two. ``reason`` is None where none was given, and once one of them
    was erased; ``actor``: who had it done; ``named``: the id that was asked for, None once who got them was erased."""

    transfer_id: str
    from_account_id: int
    to_account_id: int
    points: int
    reason: str | None
    actor: str
    at: datetime
    named: str | None


class Transferred(msgspec.Struct, frozen=True):
    """A transfer and the customers whose accounts they are."""

    transfer: Transfer
    from_customer_id: str
    to_customer_id: str


class TransferLimitError(Exception):
    """A customer would give more on one day than he may himself: ``left`` of ``per_day`` points."""

    def __init__(self, per_day: int, left: int) -> None:
        super().__init__(left)
        self.per_day = per_day
        self.left = left


class SameCustomerError(Exception):
    """Who gives and who gets are one person."""
