"""A month's statement: closed with the month, and the same whenever it is asked for.

It is of one id's own chain, whoever the id was joined with since. What becomes known after the month shows in the one
in which it did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.statements import store
from services.loyalty.statements.documents import signed
from services.loyalty.statements.domain import bounds, statement
from shared.clock import Clock
from shared.db import Tx

SETTLING = timedelta(minutes=10)
"""For transactions that began in the month and end after it."""
SOON = timedelta(days=60)


class NotClosedError(Exception):
    """The month's statement is there from ``ready_at`` on."""

    def __init__(self, ready_at: datetime) -> None:
        super().__init__(f"ready at {ready_at.isoformat()}")
        self.ready_at = ready_at


class Closed(msgspec.Struct, frozen=True):
    """A month of an id that has a statement."""

    customer_id: str
    month: date
    closed_at: datetime


@dataclass(frozen=True, slots=True)
class Statements:
    """``secret``: the seed of the key that signs, 32 bytes. ``zone``: of months."""

    clock: Clock
    zone: ZoneInfo
    secret: bytes

    async def one(self, tx: Tx, customer: str, month: date) -> str:
        """The document. Raises LookupError for an id without an account in it, NotClosedError."""
        start, end = bounds(month, self.zone)
        rows = await store.accounts(tx, [customer])
        if not rows or rows[0]["opened_at"] >= end:
            raise LookupError("there was no such account")
        if self.clock.now() < end + SETTLING:
            raise NotClosedError(end + SETTLING)
        account = rows[0]["account_id"]
        document = await store.document(tx, account, month)
        if document is None:
            said = statement(
                customer, month, self.zone,
                await store.opening(tx, account, start),
                await store.entries(tx, account, start, end),
                await store.expiring(tx, account, end, end + SOON),
                await store.chain(tx, account, end),
            )  # fmt: skip
            await store.keep(tx, account, month, signed(said, int(end.timestamp()), self.secret))
            document = await store.document(tx, account, month)
        assert document is not None, "it was kept"
        return document

    async def months(self, tx: Tx, customers: Sequence[str]) -> list[Closed]:
        """What there are statements of, the newest first."""
        latest = self.clock.now() - SETTLING
        found = []
        for row in await store.accounts(tx, customers):
            month = row["opened_at"].astimezone(self.zone).date().replace(day=1)
            while (end := bounds(month, self.zone)[1]) <= latest:
                found.append(Closed(row["customer_id"], month, end))
                month = end.date()
        return sorted(found, key=lambda one: (one.month, one.customer_id), reverse=True)


async def forget(tx: Tx, names: Sequence[str]) -> int:
    """For an erasure, by the names that the accounts have by then: no statement is kept; how many were."""
    return await store.forget(tx, names)
