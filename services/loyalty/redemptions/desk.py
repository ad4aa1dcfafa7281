"""Commands on points, as many as come together, in one transaction: decided on in memory, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.coupons import application as coupons
from services.loyalty.coupons import events as coupon_events
from services.loyalty.ledger import reading
from services.loyalty.ledger.purse import REQUESTS, Purse, Spent
from services.loyalty.ledger.spending import Hold, ShortOfPointsError, TooManyLotsError
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import in_force
from services.loyalty.redemptions.commands import Command, Commit, MakeHold, MakeQuote, Redeem, Void
from services.loyalty.redemptions.domain import (
    QUOTED_FOR,
    Held,
    NotThereError,
    Quote,
    Redeemed,
    Redemption,
    RedemptionRefusedError,
    Terms,
    there,
)
from services.loyalty.redemptions.sitting import ApartError, Sitting, sit
from services.loyalty.rewards import application as rewards
from services.loyalty.rewards.domain import Reward
from services.loyalty.tiers.application import ladder_of
from shared.clock import Clock
from shared.contracts.rewards import RewardRedeemed
from shared.contracts.types import Cause as CausedBy
from shared.db import Tx
from shared.messaging.outbox import UNNUMBERED, Outgoing

_T = TypeVar("_T")
_REFUSALS = (ApartError, NotThereError, ShortOfPointsError, TooManyLotsError, RedemptionRefusedError)
"""Nothing was done, in memory or in the database, when one of them is raised."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Serves commands. What can't be: NotThereError for what there isn't; ShortOfPointsError, TooManyLotsError, Refused
    (of a reward) and RedemptionRefusedError. ``zone``: of calendar periods of limits."""

    clock: Clock
    programmes: Programmes
    zone: ZoneInfo

    async def serve(self, tx: Tx, commands: Sequence[Command[Any]], *, wait: bool) -> list[Any]:
        """What each of them answers, in their order; in its place what it would raise by itself, or ApartError. Without
        ``wait`` nobody is waited for who has an account locked. Who is refused leaves nothing behind. Quotes are of
        what there was before them all."""
        sitting = await sit(tx, commands, self.clock.now(), wait=wait)
        answers: list[Any] = []
        for command in commands:
            try:
                answers.append(await self._answer(sitting, command))
            except _REFUSALS as refusal:
                answers.append(refusal)
        await sitting.close()
        return answers

    async def serve_alone(self, tx: Tx, command: Command[_T]) -> _T:
        """The one command of a transaction. What it raises has to end that."""
        sitting = await sit(tx, [command], self.clock.now(), wait=True, alone=True)
        answer: _T = await self._answer(sitting, command)
        await sitting.close()
        return answer

    async def _answer(self, sitting: Sitting, command: Command[Any]) -> Any:
        match command:
            case MakeQuote():
                return await self._quote(sitting, command)
            case MakeHold():
                return await self._hold(sitting, command)
            case Commit():
                return await self._commit(sitting, command)
            case Void():
                return await self._void(sitting, command)
            case Redeem():
                return await self._redeem(sitting, command)
        raise TypeError(type(command).__name__)

    async def _quote(self, sitting: Sitting, command: MakeQuote) -> Quote:
        terms, tx, now = command.terms, sitting.tx, sitting.now
        funds = sitting.fund(command)
        available = funds.available
        if available is None:
            available = (await reading.balance_at(tx, funds.accounts, now)).available
        if terms.reward_id is not None:
            reward = await _offered(tx, terms.reward_id, now)
            tier = await self._tier(tx, reward, funds.accounts, now)
            await rewards.require(tx, reward, accounts=funds.accounts, tier=tier, now=now, zone=self.zone)
            terms = _of(reward, terms)
        if available < terms.points:
            raise ShortOfPointsError(terms.points - available)
        quote = Quote(command.quote_id, funds.owner, terms, now, now + QUOTED_FOR)
        sitting.quoted.append(quote)
        return quote

    async def _hold(self, sitting: Sitting, command: MakeHold) -> Held:
        quote, customer = sitting.quote(command)
        purse = sitting.purse(customer, command.hold_id, command)
        if sitting.now >= quote.expires_at:
            raise RedemptionRefusedError("quote-expired", "This quote isn't valid any more. Ask for another one.")
        if purse.held(command.hold_id) is not None:
            detail = "A hold was made of this quote. Ask for another one."
            raise RedemptionRefusedError("quote-used", detail)
        hold = purse.hold(command.hold_id, quote.terms.points, sitting.now + command.lasting)
        if quote.terms.reward_id is not None:
            await self._reserve(purse, quote.terms.reward_id, hold.hold_id, lapses_at=hold.expires_at)
        sitting.done(purse)
        return Held(hold, purse.owner.customer_id, quote)

    async def _commit(self, sitting: Sitting, command: Commit) -> Redeemed:
        quote, customer = sitting.quote(command)
        purse = sitting.purse(customer, command.redemption_id, command)
        hold = _open_hold(purse, command.hold_id)
        left, points = hold.points - hold.committed, command.points
        if points is not None and points > left:
            raise RedemptionRefusedError("hold-exceeded", f"{left} points are held.")
        if points is not None and points < left and quote.terms.reward_id is not None:
            raise RedemptionRefusedError("hold-is-whole", "A reward is taken whole.")
        terms = msgspec.structs.replace(quote.terms, points=left if points is None else points)
        purse.commit(hold, command.redemption_id, terms.points, Spent(terms.reward_id, terms.order_id))
        reward = None
        if terms.reward_id is not None:
            await rewards.settle(sitting.tx, hold.hold_id, sitting.now)
            reward = await rewards.as_of(sitting.tx, terms.reward_id, terms.reward_version or 1, sitting.now)
        return await self._redeemed(sitting, purse, command.redemption_id, terms, reward, hold.hold_id)

    async def _void(self, sitting: Sitting, command: Void) -> Held:
        quote, customer = sitting.quote(command)
        purse = sitting.purse(customer, command.hold_id, command)
        hold = purse.end(_open_hold(purse, command.hold_id), "voided")
        if quote.terms.reward_id is not None:
            await rewards.release(sitting.tx, hold.hold_id)
        sitting.done(purse)
        return Held(hold, purse.owner.customer_id, quote)

    async def _redeem(self, sitting: Sitting, command: Redeem) -> Redeemed:
        terms, id = command.terms, command.redemption_id
        purse = sitting.own_purse(command)
        reward = None
        if terms.reward_id is not None:
            reward = await self._reserve(purse, terms.reward_id, id, lapses_at=None)
            terms = _of(reward, terms)
        purse.take(id, "redemption", terms.points, Spent(terms.reward_id, terms.order_id))
        return await self._redeemed(sitting, purse, id, terms, reward, None)

    async def _redeemed(
        self, sitting: Sitting, purse: Purse, redemption_id: str, terms: Terms, reward: Reward | None,
        hold_id: str | None,
    ) -> Redeemed:  # fmt: skip
        now, customer = sitting.now, purse.owner.customer_id
        caused_by = CausedBy(source=REQUESTS, id=redemption_id)
        coupon = None
        if reward is not None and reward.coupon is not None:
            coupon = await coupons.issue(
                sitting.tx, customer, reward.coupon, now, self.zone, caused_by, redemption_id=redemption_id, tell=False
            )
            issued = coupon_events.issued(coupon, caused_by)
            sitting.events.append(msgspec.structs.replace(issued, traceparent=purse.cause.traceparent))
        redemption = Redemption(
            redemption_id, purse.owner.account_id, terms, now, hold_id, coupon.coupon_id if coupon else None
        )
        if reward is not None and reward.is_handed_over:
            redemption = msgspec.structs.replace(redemption, fulfilment="open", due_at=reward.due_at(now))
        if reward is not None:
            event = _reward_redeemed(customer, caused_by, redemption, reward)
            sitting.events.append(Outgoing(event, purse.cause.traceparent))
        sitting.redeemed.append(redemption)
        sitting.done(purse)
        return Redeemed(redemption, customer, coupon)

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


def _open_hold(purse: Purse, hold_id: str) -> Hold:
    hold = there(purse.held(hold_id))
    match hold.state_at(purse.now):
        case "open":
            return hold
        case "expired":
            raise RedemptionRefusedError("hold-expired", "The hold has run out: its points are free again.")
        case "voided":
            raise RedemptionRefusedError("hold-voided", "The hold was voided.")
        case "committed":
            raise RedemptionRefusedError("hold-committed", "All that was held is committed.")


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
