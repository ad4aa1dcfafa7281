"""Points that went from one customer to another."""

from datetime import datetime

import msgspec


class Transfer(msgspec.Struct, frozen=True):
    """``points`` of the accounts that answer for the two. ``reason`` is None where none was given, and once one of them
    was erased; ``actor``: who had it done."""

    transfer_id: str
    from_account_id: int
    to_account_id: int
    points: int
    reason: str | None
    actor: str
    at: datetime


class Transferred(msgspec.Struct, frozen=True):
    """A transfer and the customers whose accounts they are."""

    transfer: Transfer
    from_customer_id: str
    to_customer_id: str


class SameCustomerError(Exception):
    """Who gives and who gets are one person."""
