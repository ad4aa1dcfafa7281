"""Using points: a quote, a hold, a commit; or all at once. And taking it back."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.coupons import application as coupons
from services.loyalty.coupons import events as coupon_events
from services.loyalty.coupons.domain import Coupon
from services.loyalty.ledger import reading
from services.loyalty.ledger.application import SERVICE
from services.loyalty.ledger.domain import Cause
from services.loyalty.ledger.purse import REQUESTS, Purse, Spent, hold_of, open_purse, take_of
from services.loyalty.ledger.spending import Hold, HoldExistsError, ShortOfPointsError
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import in_force
from services.loyalty.redemptions import store
from services.loyalty.redemptions.domain import (
    QUOTED_FOR,
    Fulfilment,
    NotThereError,
    Quote,
    Redemption,
    RedemptionRefusedError,
    Terms,
    hold_id_of,
    quote_id_of,
)
from services.loyalty.rewards import application as rewards
from services.loyalty.rewards.domain import Reward
from services.loyalty.tiers.application import ladder_of
from shared.clock import Clock
from shared.contracts.rewards import RewardRedeemed
from shared.contracts.types import Cause as CausedBy
from shared.db import Tx
from shared.messaging import outbox
from shared.messaging.outbox import UNNUMBERED, Outgoing

_T = TypeVar("_T")


class Redeemed(msgspec.Struct, frozen=True):
    """A redemption, whose it is, and the coupon that it gave."""

    redemption: Redemption
    customer_id: str
    coupon: Coupon | None = None


class Held(msgspec.Struct, frozen=True):
    """A hold, whose it is, and what it is for."""

    hold: Hold
    customer_id: str
    quote: Quote


@dataclass(frozen=True, slots=True)
class Redemptions:
    """Everything here raises NotThereError for what there isn't; ShortOfPointsError, Refused (of a reward) and
    RedemptionRefusedError where it can't be. ``zone``: of calendar periods of limits."""

    clock: Clock
    programmes: Programmes
    zone: ZoneInfo

    def new_id(self, prefix: str) -> str:
        """Sorts by when it was made, to the microsecond; the rest is chance."""
        return f"{prefix}{int(self.clock.now().timestamp() * 1_000_000):014x}{uuid4().hex[:18]}"

    async def quote(self, tx: Tx, quote_id: str, customer: str, terms: Terms) -> Quote:
        """What something would cost now, if there is enough of everything. It keeps nothing back from anybody."""
        now = self.clock.now()
        owner, accounts, available = _there(await reading.funds(tx, customer, now))
        if terms.reward_id is not None:
            reward = await _offered(tx, terms.reward_id, now)
            tier = await self._tier(tx, reward, accounts, now)
            await rewards.require(tx, reward, accounts=accounts, tier=tier, now=now, zone=self.zone)
            terms = _of(reward, terms)
        if available < terms.points:
            raise ShortOfPointsError(terms.points - available)
        quote = Quote(quote_id, owner, terms, now, now + QUOTED_FOR)
        await store.add_quote(tx, quote)
        return quote

    async def hold(self, tx: Tx, quote_id: str, lasting: timedelta) -> Held:
        """Sets aside what a quote named: points, and one of the reward."""
        now = self.clock.now()
        quote, customer = _there(await store.quoted(tx, quote_id))
        hold_id = hold_id_of(quote_id)
        purse = await self._purse(tx, customer, now, hold_id, shared=True)
        if now >= quote.expires_at:
            raise RedemptionRefusedError("quote-expired", "This quote isn't valid any more. Ask for another one.")
        hold = purse.hold(hold_id, quote.terms.points, now + lasting)
        try:
            await purse.close()
        except HoldExistsError:
            detail = "A hold was made of this quote. Ask for another one."
            raise RedemptionRefusedError("quote-used", detail) from None
        # After it: a quote that was used has reserved its reward already.
        if quote.terms.reward_id is not None:
            await self._reserve(purse, quote.terms.reward_id, hold_id, lapses_at=hold.expires_at)
        await outbox.append(tx, SERVICE, purse.journal.events, now)
        return Held(hold, purse.owner.customer_id, quote)

    async def commit(self, tx: Tx, redemption_id: str, hold_id: str, points: int | None = None) -> Redeemed:
        """Uses what is held: all that is left of it, or so many points; of a reward always all."""
        now = self.clock.now()
        quote, customer = _there(await store.quoted(tx, quote_id_of(hold_id)))
        purse = await self._purse(tx, customer, now, redemption_id, free=False, shared=True)
        hold = await self._open_hold(purse, hold_id)
        left = hold.points - hold.committed
        if points is not None and points > left:
            raise RedemptionRefusedError("hold-exceeded", f"{left} points are held.")
        if points is not None and points < left and quote.terms.reward_id is not None:
            raise RedemptionRefusedError("hold-is-whole", "A reward is taken whole.")
        terms = msgspec.structs.replace(quote.terms, points=left if points is None else points)
        purse.commit(hold, redemption_id, terms.points, Spent(terms.reward_id, terms.order_id))
        reward = None
        if terms.reward_id is not None:
            await rewards.settle(tx, hold_id, now)
            reward = await rewards.as_of(tx, terms.reward_id, terms.reward_version or 1, now)
        return await self._redeemed(purse, redemption_id, terms, reward, hold_id)

    async def void(self, tx: Tx, hold_id: str) -> Held:
        """Gives back what is still held; what was committed of it stays."""
        now = self.clock.now()
        quote, customer = _there(await store.quoted(tx, quote_id_of(hold_id)))
        purse = await self._purse(tx, customer, now, hold_id, free=False, shared=True)
        hold = await self._open_hold(purse, hold_id)
        hold = purse.end(hold, "voided")
        if quote.terms.reward_id is not None:
            await rewards.release(tx, hold_id)
        await purse.close()
        await outbox.append(tx, SERVICE, purse.journal.events, now)
        return Held(hold, purse.owner.customer_id, quote)

    async def redeem(self, tx: Tx, redemption_id: str, customer: str, terms: Terms) -> Redeemed:
        """Everything at once: points, stock and code in one transaction."""
        now = self.clock.now()
        purse = await self._purse(tx, customer, now, redemption_id)
        reward = None
        if terms.reward_id is not None:
            reward = await self._reserve(purse, terms.reward_id, redemption_id, lapses_at=None)
            terms = _of(reward, terms)
        purse.take(redemption_id, "redemption", terms.points, Spent(terms.reward_id, terms.order_id))
        return await self._redeemed(purse, redemption_id, terms, reward, None)

    async def roll_back(self, tx: Tx, redemption_id: str, reason: str) -> Redeemed:
        """As if it had never been: the points are in the lots they came from, stock and limit are free, the coupon is
        void. Raises CouponRefused where the coupon was used."""
        now = self.clock.now()
        customer = _there(await store.customer_of(tx, redemption_id))
        purse = await self._purse(tx, customer, now, f"{redemption_id}:rollback")
        redemption = _there(await store.lock(tx, redemption_id))
        if redemption.rolled_back_at is not None:
            raise RedemptionRefusedError("rolled-back", "It was rolled back before.")
        if redemption.fulfilment == "done":
            raise RedemptionRefusedError("handed-over", "It was handed over: an adjustment gives points back.")
        terms = redemption.terms
        take = _there(await take_of(tx, redemption_id))
        await purse.load(take.portions)
        await purse.roll_back(take, Spent(terms.reward_id, terms.order_id))
        if terms.reward_id is not None:
            await rewards.release(tx, redemption.hold_id or redemption_id)
        coupon = await coupons.take_back(tx, redemption_id, now)
        redemption = msgspec.structs.replace(redemption, rolled_back_at=now, rolled_back_because=reason)
        await store.change(tx, redemption)
        await purse.close()
        await outbox.append(tx, SERVICE, purse.journal.events, now)
        return Redeemed(redemption, purse.owner.customer_id, coupon)

    async def hand_over(self, tx: Tx, redemption_id: str, state: Fulfilment) -> Redeemed:
        """The next state of handing a reward over."""
        redemption = _there(await store.lock(tx, redemption_id))
        redemption = redemption.fulfilled(state, self.clock.now())
        await store.change(tx, redemption)
        return await self._shown(tx, redemption)

    async def one(self, tx: Tx, redemption_id: str) -> Redeemed:
        """A redemption as it is now."""
        return await self._shown(tx, _there(await store.one(tx, redemption_id)))

    async def held(self, tx: Tx, hold_id: str) -> Held:
        """A hold as it is now."""
        hold = _there(await hold_of(tx, hold_id))
        state = hold.state_at(self.clock.now())
        quote, customer = _there(await store.quoted(tx, quote_id_of(hold_id)))
        return Held(msgspec.structs.replace(hold, state=state), customer, quote)

    async def customer_of_quote(self, tx: Tx, quote_id: str) -> str:
        """Whose quote it is."""
        _, customer = _there(await store.quoted(tx, quote_id))
        return customer

    async def quoted(self, tx: Tx, quote_id: str) -> Quote:
        """A quote."""
        return _there(await store.quote(tx, quote_id))

    async def page(
        self, tx: Tx, holder: reading.Holder, before: tuple[datetime, str], limit: int
    ) -> list[Redeemed]:
        """A person's redemptions, the newest first."""
        now = self.clock.now()
        found = await store.page(tx, holder.accounts, before, limit)
        given = await coupons.of_redemptions(tx, [one.redemption_id for one in found], now)
        return [Redeemed(one, holder.customers[one.account_id], given.get(one.redemption_id)) for one in found]

    async def _shown(self, tx: Tx, redemption: Redemption) -> Redeemed:
        customer = _there(await store.customer_of(tx, redemption.redemption_id))
        given = await coupons.of_redemptions(tx, [redemption.redemption_id], self.clock.now())
        return Redeemed(redemption, customer, given.get(redemption.redemption_id))

    async def _purse(
        self, tx: Tx, customer: str, now: datetime, id: str, *, free: bool = True, shared: bool = False
    ) -> Purse:
        return _there(await open_purse(tx, customer, now, Cause(REQUESTS, id, now), free=free, shared=shared))

    async def _open_hold(self, purse: Purse, hold_id: str) -> Hold:
        hold = _there(await purse.held(hold_id))
        match hold.state_at(purse.now):
            case "open":
                return hold
            case "expired":
                raise RedemptionRefusedError("hold-expired", "The hold has run out: its points are free again.")
            case "voided":
                raise RedemptionRefusedError("hold-voided", "The hold was voided.")
            case "committed":
                raise RedemptionRefusedError("hold-committed", "All that was held is committed.")

    async def _reserve(self, purse: Purse, reward_id: str, use_id: str, lapses_at: datetime | None) -> Reward:
        reward = await _offered(purse.tx, reward_id, purse.now)
        accounts = list(purse.accounts)
        return await rewards.reserve(
            purse.tx, reward_id, use_id=use_id, account_id=purse.owner.account_id, accounts=accounts,
            tier=await self._tier(purse.tx, reward, accounts, purse.now), now=purse.now, zone=self.zone,
            lapses_at=lapses_at,
        )  # fmt: skip

    async def _tier(self, tx: Tx, reward: Reward, accounts: reading.Accounts, now: datetime) -> str | None:
        """The tier held now, where the reward asks for one."""
        programme = in_force(await self.programmes.known(tx), now) if reward.tiers else None
        return (await ladder_of(tx, accounts, programme)).at(now) if programme else None

    async def _redeemed(
        self, purse: Purse, redemption_id: str, terms: Terms, reward: Reward | None, hold_id: str | None
    ) -> Redeemed:
        tx, now = purse.tx, purse.now
        await purse.close()
        customer = purse.owner.customer_id
        caused_by = CausedBy(source=REQUESTS, id=redemption_id)
        coupon = None
        events = purse.journal.events
        if reward is not None and reward.coupon is not None:
            coupon = await coupons.issue(
                tx, customer, reward.coupon, now, self.zone, caused_by, redemption_id=redemption_id, tell=False
            )
            events.append(coupon_events.issued(coupon, caused_by))
        redemption = Redemption(
            redemption_id, purse.owner.account_id, terms, now, hold_id, coupon.coupon_id if coupon else None
        )
        if reward is not None and reward.is_handed_over:
            redemption = msgspec.structs.replace(redemption, fulfilment="open", due_at=reward.due_at(now))
        await store.add(tx, redemption)
        if reward is not None:
            events.append(Outgoing(_reward_redeemed(customer, caused_by, redemption, reward)))
        await outbox.append(tx, SERVICE, events, now)
        return Redeemed(redemption, customer, coupon)


async def _offered(tx: Tx, reward_id: str, now: datetime) -> Reward:
    try:
        return await rewards.offer(tx, reward_id, now)
    except LookupError:
        raise NotThereError from None


def _of(reward: Reward, terms: Terms) -> Terms:
    return Terms(reward.points, reward.reward_id, reward.version, reward.price, terms.order_id)


def _reward_redeemed(customer: str, cause: CausedBy, redemption: Redemption, reward: Reward) -> RewardRedeemed:
    return RewardRedeemed(
        customer_id=customer,
        sequence=UNNUMBERED,
        caused_by=cause,
        occurred_at=redemption.redeemed_at,
        redemption_id=redemption.redemption_id,
        reward_id=reward.reward_id,
        kind=reward.kind,
        points=redemption.terms.points,
        price=redemption.terms.price,
        coupon_id=redemption.coupon_id,
        due_at=redemption.due_at,
    )


def _there(found: _T | None) -> _T:
    if found is None:
        raise NotThereError
    return found
