"""What a customer, or somebody who serves him, asks of an account."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.loyalty.accounts.explaining import Tree, explain
from services.loyalty.earning.application import Earning, Judged
from services.loyalty.ledger import reading
from services.loyalty.ledger.reading import Balance, Holder
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import in_force
from services.loyalty.tiers.application import ladder_of
from services.loyalty.tiers.domain import Standing
from shared.clock import Clock
from shared.db import Tx


class AccountView(msgspec.Struct, frozen=True):
    """An account at an instant. ``standing`` is None without a tier; ``currency`` is the programme's."""

    balance: Balance
    standing: Standing | None
    currency: str


class Explained(msgspec.Struct, frozen=True):
    """A balance as a tree, how each order of it was judged, and what the rules of each version say of themselves."""

    at: datetime
    tree: Tree
    judged: Mapping[str, Judged]
    texts: Mapping[tuple[int, str], Mapping[str, str]]


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
            standing = (await ladder_of(tx, holder.accounts, programme)).standing(now)
        balance = await reading.balance_at(tx, holder.accounts, now)
        return AccountView(balance, standing, programme.currency if programme else "")

    async def explanation(self, tx: Tx, holder: Holder) -> Explained:
        """Where every point that he has now comes from, and where every point went."""
        now = self.clock.now()
        lots, takes, holds = await reading.uses_of(tx, holder.accounts)
        tree = explain(lots, takes, holds, now)
        orders = [lot for lot in lots if lot.award.origin == "order"]
        judged = await self.earning.judged(tx, list(holder.customers.values()), orders)
        versions = sorted({one.programme.version for one in judged if one.programme and one.judgement.parts})
        texts = {
            (version, rule["id"]): rule.get("text", {})
            for version in versions
            for rule in (await self.programmes.one(tx, version)).body.get("rules", ())
        }
        return Explained(now, tree, {one.order.order_id: one for one in judged}, texts)
