"""Points used: taking it back, handing over, and what is read of it. Using them is the desk's."""

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import msgspec

from services.loyalty.coupons import application as coupons
from services.loyalty.ledger import reading
from services.loyalty.ledger.application import SERVICE
from services.loyalty.ledger.domain import Cause
from services.loyalty.ledger.purse import REQUESTS, Spent, Wanted, hold_of, open_purse, take_of
from services.loyalty.redemptions import store
from services.loyalty.redemptions.domain import (
    Fulfilment,
    Held,
    Quote,
    Redeemed,
    Redemption,
    RedemptionRefusedError,
    quote_id_of,
    there,
)
from services.loyalty.rewards import application as rewards
from shared.clock import Clock
from shared.db import Tx
from shared.messaging import outbox


@dataclass(frozen=True, slots=True)
class Redemptions:
    """Everything here raises NotThereError for what there isn't, and RedemptionRefusedError where it can't be."""

    clock: Clock

    def new_id(self, prefix: str) -> str:
        """Sorts by when it was made, to the microsecond; the rest is chance."""
        return f"{prefix}{int(self.clock.now().timestamp() * 1_000_000):014x}{uuid4().hex[:18]}"

    async def roll_back(self, tx: Tx, redemption_id: str, reason: str) -> Redeemed:
        """As if it had never been: the points are in the lots they came from, stock and limit are free, the coupon is
        void. Raises CouponRefused where the coupon was used."""
        now = self.clock.now()
        customer = there(await store.customer_of(tx, redemption_id))
        purse = there(await open_purse(tx, Wanted(customer, Cause(REQUESTS, f"{redemption_id}:rollback", now)), now))
        redemption = there(await store.lock(tx, redemption_id))
        if redemption.rolled_back_at is not None:
            raise RedemptionRefusedError("rolled-back", "It was rolled back before.")
        if redemption.fulfilment == "done":
            raise RedemptionRefusedError("handed-over", "It was handed over: an adjustment gives points back.")
        terms = redemption.terms
        take = there(await take_of(tx, redemption_id))
        await purse.load(take.portions)
        await purse.roll_back(take, Spent(terms.reward_id, terms.order_id))
        if terms.reward_id is not None:
            await rewards.release(tx, redemption.hold_id or redemption_id)
        coupon = await coupons.take_back(tx, redemption_id, now)
        redemption = msgspec.structs.replace(redemption, rolled_back_at=now, rolled_back_because=reason)
        await store.change(tx, redemption)
        await outbox.append(tx, SERVICE, await purse.close(), now)
        return Redeemed(redemption, purse.owner.customer_id, coupon)

    async def hand_over(self, tx: Tx, redemption_id: str, state: Fulfilment) -> Redeemed:
        """The next state of handing a reward over."""
        redemption = there(await store.lock(tx, redemption_id))
        redemption = redemption.fulfilled(state, self.clock.now())
        await store.change(tx, redemption)
        return await self._shown(tx, redemption)

    async def one(self, tx: Tx, redemption_id: str) -> Redeemed:
        """A redemption as it is now."""
        return await self._shown(tx, there(await store.one(tx, redemption_id)))

    async def held(self, tx: Tx, hold_id: str) -> Held:
        """A hold as it is now."""
        hold = there(await hold_of(tx, hold_id))
        state = hold.state_at(self.clock.now())
        quote_id = quote_id_of(hold_id)
        quote, customer = there((await store.quoted(tx, [quote_id])).get(quote_id))
        return Held(msgspec.structs.replace(hold, state=state), customer, quote)

    async def quoted(self, tx: Tx, quote_id: str) -> Quote:
        """A quote."""
        return there(await store.quote(tx, quote_id))

    async def page(
        self, tx: Tx, holder: reading.Holder, before: tuple[datetime, str], limit: int
    ) -> list[Redeemed]:
        """A person's redemptions, the newest first."""
        now = self.clock.now()
        found = await store.page(tx, holder.accounts, before, limit)
        given = await coupons.of_redemptions(tx, [one.redemption_id for one in found], now)
        return [Redeemed(one, holder.customers[one.account_id], given.get(one.redemption_id)) for one in found]

    async def _shown(self, tx: Tx, redemption: Redemption) -> Redeemed:
        customer = there(await store.customer_of(tx, redemption.redemption_id))
        given = await coupons.of_redemptions(tx, [redemption.redemption_id], self.clock.now())
        return Redeemed(redemption, customer, given.get(redemption.redemption_id))
