"""Personal codes, and what customers and staff ask of referrals."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.loyalty.coupons.codes import ALPHABET, LENGTH, Code, check_character
from services.loyalty.ledger.reading import Holder, at_one_moment
from services.loyalty.referrals import store
from services.loyalty.referrals.domain import State
from services.loyalty.referrals.store import Referral
from shared.clock import Clock
from shared.db import Tx


class PersonalCode(msgspec.Struct, frozen=True):
    """A code that a customer gives to others."""

    code: Code
    customer_id: str
    created_at: datetime


class Brought(msgspec.Struct, frozen=True):
    """What a person has brought: referrals by their state, and the points that he has of them."""

    by_state: Mapping[State, int]
    points: int


class Period(msgspec.Struct, frozen=True):
    """Referrals whose purchase lies in a period, and everybody whose first purchase does."""

    new_customers: int
    pending: int
    qualified: int
    points: int
    refused: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Referrals:
    """``key``: of the tokens. Codes are made with it, so that whoever makes one again gets the same."""

    clock: Clock
    key: bytes

    async def code_of(self, tx: Tx, holder: Holder) -> PersonalCode | None:
        """A person's code: that of the id that answers for all, or else the oldest."""
        rows = await store.codes_of(tx, holder.ids)
        found = min(rows, key=lambda row: (row["customer_id"] != holder.survivor, row["created_at"]), default=None)
        return PersonalCode(found["code"], found["customer_id"], found["created_at"]) if found else None

    async def make_code(self, tx: Tx, holder: Holder) -> tuple[PersonalCode, bool]:
        """His code; whether it was made now."""
        if found := await self.code_of(tx, holder):
            return found, False
        await store.add_code(tx, self._draw(holder.survivor), holder.survivor, self.clock.now())
        made = await self.code_of(tx, holder)
        assert made is not None, "whoever was first, there is one now"
        return made, True

    async def brought(self, tx: Tx, ids: Sequence[str]) -> Brought:
        """What the person of these ids has brought."""
        rows = await store.counts(tx, ids)
        return Brought({row["state"]: row["referrals"] for row in rows}, sum(row["points"] for row in rows))

    async def page(self, tx: Tx, ids: Sequence[str], after: str, limit: int) -> list[Referral]:
        """His referrals on both sides, by their ids."""
        return await store.of(tx, ids, after, limit)

    async def of_period(self, tx: Tx, since: datetime, until: datetime) -> Period:
        """Key figures, as of one moment: first of all in its transaction."""
        await at_one_moment(tx)
        row, refused = await store.of_period(tx, since, until)
        return Period(row["new_customers"], row["pending"], row["qualified"], row["points"], refused)

    def _draw(self, customer: str) -> Code:
        drawn, number = "", int.from_bytes(hmac.digest(self.key, f"referral-code\0{customer}".encode(), "sha256"))
        for _ in range(LENGTH - 1):
            number, place = divmod(number, len(ALPHABET))
            drawn += ALPHABET[place]
        return Code(drawn + check_character(drawn))
