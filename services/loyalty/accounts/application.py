"""What a customer, or somebody who serves him, asks of an account; and the hash that compares two systems."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import msgspec

from services.loyalty.earning.application import Earning
from services.loyalty.earning.domain import Judgement
from services.loyalty.ledger import application as ledger
from services.loyalty.ledger import reading
from services.loyalty.ledger.domain import Lot
from services.loyalty.ledger.reading import Balance
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import EPOCH, Programme, in_force
from services.loyalty.tiers.domain import Ladder, Standing
from shared.clock import Clock
from shared.db import Tx


class AccountView(msgspec.Struct, frozen=True):
    """An account at an instant. ``standing`` is None without a tier; ``currency`` is the programme's."""

    balance: Balance
    standing: Standing | None
    currency: str


class Explained(msgspec.Struct, frozen=True):
    """A lot that counts towards the balance, and how its points came about."""

    lot: Lot
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Accounts:
    """Reading accounts."""

    clock: Clock
    programmes: Programmes
    earning: Earning

    async def view(self, tx: Tx, account: int) -> AccountView:
        """The account now."""
        now = self.clock.now()
        programme = in_force(await self.programmes.known(tx), now)
        standing = None
        if programme and programme.tiers:
            spends = await ledger.spends_of(tx, [account], programme.currency, EPOCH)
            standing = Ladder(programme, spends.get(account, ())).standing(now)
        balance = await reading.balance_at(tx, account, now)
        return AccountView(balance, standing, programme.currency if programme else "")

    async def explanation(self, tx: Tx, account: int, customer: str) -> list[Explained]:
        """The lots that are pending or available now, each with the parts that its points are the sum of."""
        now = self.clock.now()
        lots = {lot.award.order_id: lot for lot in await ledger.lots_of(tx, [account])}
        judgements = await self.earning.judgements(tx, customer, list(lots.values()))
        return [
            Explained(lots[judgement.award.order_id], judgement)
            for judgement in judgements
            if judgement.award.points and judgement.award.order_id in lots and judgement.award.bucket(now) != "expired"
        ]

    async def state_hash(self, tx: Tx, at: datetime) -> str:
        """SHA-256 over what any order of the same facts must lead to, sorted: awards, lots, balances and tiers
        at an instant, lifetime points."""
        programme = in_force(await self.programmes.known(tx), at)
        lots: dict[str, list[Lot]] = {}
        for customer, lot in await reading.everything(tx):
            lots.setdefault(customer, []).extend([lot] if lot else [])
        state = [_state(customer, own, programme, at) for customer, own in sorted(lots.items())]
        return sha256(msgspec.json.encode(state)).hexdigest()


def _state(customer: str, lots: Sequence[Lot], programme: Programme | None, at: datetime) -> tuple[object, ...]:
    # Which versions were known at the time belongs to arrival, as entries do.
    awards = [msgspec.structs.replace(lot.award, judged_with=0) for lot in lots]
    awards.sort(key=lambda award: award.order_id)
    places = dict.fromkeys(("pending", "available", "expired"), 0)
    for award in awards:
        places[award.bucket(at)] += award.points
    tier = None
    if programme:
        spends = [(a.occurred_at, a.net_minor) for a in awards if a.currency == programme.currency and a.net_minor]
        tier = Ladder(programme, spends).at(at)
    return customer, awards, places, sum(award.points for award in awards), tier
