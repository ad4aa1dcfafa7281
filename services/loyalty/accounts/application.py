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
from services.loyalty.ledger.domain import Award, Lot
from services.loyalty.ledger.reading import Balance, Holder
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
    """Reading what a person has, over the accounts of all his ids."""

    clock: Clock
    programmes: Programmes
    earning: Earning

    async def view(self, tx: Tx, holder: Holder) -> AccountView:
        """What he has now, as one account."""
        now = self.clock.now()
        programme = in_force(await self.programmes.known(tx), now)
        standing = None
        if programme and programme.tiers:
            spends = await ledger.spends_of(tx, dict.fromkeys(holder.accounts, 0), programme.currency, EPOCH)
            standing = Ladder(programme, [spend for own in spends.values() for spend in own]).standing(now)
        balance = await reading.balance_at(tx, holder.accounts, now)
        return AccountView(balance, standing, programme.currency if programme else "")

    async def explanation(self, tx: Tx, holder: Holder) -> list[Explained]:
        """The lots that are pending or available now, each with the parts that its points are the sum of."""
        now = self.clock.now()
        lots = {lot.award.source_id: lot for lot in await ledger.lots_of(tx, holder.accounts)}
        judgements = await self.earning.judgements(tx, list(holder.customers.values()), list(lots.values()))
        return [
            Explained(lots[judgement.award.source_id], judgement)
            for judgement in judgements
            if judgement.award.points and judgement.award.source_id in lots and judgement.award.bucket(now) != "expired"
        ]

    async def state_hash(self, tx: Tx, at: datetime) -> str:
        """SHA-256 over what any order of the same facts must lead to, sorted: awards, lots, balances and tiers
        at an instant, lifetime points, and who answers for whom. An account without lots is as none."""
        programme = in_force(await self.programmes.known(tx), at)
        groups: dict[str, list[tuple[str, Award]]] = {}
        for survivor, customer, lot in await reading.everything(tx):
            # Which versions were known at the time belongs to arrival, as entries do.
            award = msgspec.structs.replace(lot.award, judged_with=0)
            groups.setdefault(survivor, []).append((customer, award))
        state = [_state(survivor, awards, programme, at) for survivor, awards in sorted(groups.items())]
        return sha256(msgspec.json.encode(state)).hexdigest()


def _state(
    survivor: str, awards: Sequence[tuple[str, Award]], programme: Programme | None, at: datetime
) -> tuple[object, ...]:
    places = dict.fromkeys(("pending", "available", "expired"), 0)
    for _, award in awards:
        places[award.bucket(at)] += award.points
    tier = None
    if programme:
        spends = [(a.occurred_at, a.net_minor) for _, a in awards if a.currency == programme.currency and a.net_minor]
        tier = Ladder(programme, spends).at(at)
    return survivor, awards, places, sum(award.points for _, award in awards), tier
