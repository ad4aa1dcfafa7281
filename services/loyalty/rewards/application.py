"""The catalogue; and taking of it, for whoever redeems: in his transaction, after he has locked the accounts.

Whatever is taken here comes after accounts and before coupons in the order of locks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.effects.holdouts import is_held_out
from services.loyalty.ledger.reading import balance_at
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import in_force
from services.loyalty.rewards import store
from services.loyalty.rewards.domain import (
    HOLD_EXPIRED,
    NOT_OFFERED,
    OUT_OF_STOCK,
    Refused,
    Reward,
    Standing,
    StockTaken,
    read_cost,
    read_reward,
    refusal,
    refusals,
)
from services.loyalty.segments import application as segments
from services.loyalty.tiers.application import ladder_of
from shared.clock import Clock
from shared.db import Row, Tx

Body = Mapping[str, Any]
"""A reward as it is kept: the fields of a request that were given."""


async def offer(tx: Tx, reward_id: str, now: datetime) -> Reward:
    """A reward as it stands. Raises LookupError."""
    row = await store.one(tx, reward_id, now)
    if row is None:
        raise LookupError(f"there is no reward {reward_id}")
    return _reward(row)


async def as_of(tx: Tx, reward_id: str, version: int | None, now: datetime) -> Reward:
    """A reward as that version of it says, None is the newest; its stock as it is now. Raises LookupError."""
    if version is None:
        return await offer(tx, reward_id, now)
    row = await store.as_of(tx, reward_id, version, now)
    if row is None:
        raise LookupError(f"there is no version {version} of reward {reward_id}")
    return _reward(row)


async def costs(tx: Tx, reward_id: str, currency: str) -> dict[int, int]:
    """What one costs the house, in minor units of this currency, by those versions of a reward that say so."""
    known = {version: read_cost(msgspec.json.decode(body)) for version, body in await store.bodies(tx, reward_id)}
    return {version: cost.minor for version, cost in known.items() if cost is not None and cost.currency == currency}


async def taken(tx: Tx, reward: Reward, accounts: Sequence[int], now: datetime, zone: ZoneInfo) -> int:
    """How often the person of these accounts has taken it in its limit's period; 0 where it has no limit."""
    return (await _taken(tx, [reward], accounts, now, zone)).get(reward.reward_id, 0)


async def require(
    tx: Tx, reward: Reward, *, accounts: Sequence[int], tier: str | None, now: datetime, zone: ZoneInfo
) -> None:  # fmt: skip
    """Raises Refused where the person of these accounts, in this tier, can't take it now, be his points as they may."""
    counted = await taken(tx, reward, accounts, now, zone)
    in_segment = await _in_segment(tx, reward, accounts)
    held_out = await _is_held_out(tx, reward, accounts)
    refused = refusal(
        reward, tier=tier, in_segment=in_segment, taken_in_period=counted, now=now, held_out=held_out
    )
    if refused is not None:
        raise Refused(refused)


async def reserve(
    tx: Tx,
    reward: Reward | str,
    *,
    use_id: str,
    account_id: int,
    accounts: Sequence[int],
    tier: str | None,
    now: datetime,
    zone: ZoneInfo,
    lapses_at: datetime | None = None,
) -> Reward:
    """Takes one of a reward for a person, in the name of ``account_id``, one of his ``accounts``, which are locked.

    ``reward``: as the transaction was offered it, or its id. ``use_id``: whatever takes it, by which it is settled or
    given back. Without ``lapses_at`` it is settled at once; a reservation counts for nothing from then on, swept or
    not. One statement beside the offer, one more for a limit and for segments; no lock is kept on a reward
    without stock. Raises LookupError, and Refused.
    """
    reward = await offer(tx, reward, now) if isinstance(reward, str) else reward
    await require(tx, reward, accounts=accounts, tier=tier, now=now, zone=zone)
    of_stock = reward.stock is not None
    use = (use_id, reward.reward_id, reward.version, account_id, now, lapses_at)
    if not await store.use(tx, *use, of_stock=of_stock):
        # Nobody has given back what lapsed, or somebody took the last one.
        await store.lapse(tx, reward.reward_id, now)
        if not await store.use(tx, *use, of_stock=True):
            raise Refused(OUT_OF_STOCK)
    return reward


async def release(tx: Tx, *use_ids: str) -> int:
    """Gives back what these uses took, stock and limit, once however often it is called; how many there were."""
    return await store.release(tx, use_ids)


async def settle(tx: Tx, use_id: str, now: datetime) -> None:
    """Makes a reservation good for ever. Raises Refused where it has lapsed or was given back."""
    if not await store.settle(tx, use_id, now):
        raise Refused(HOLD_EXPIRED)


@dataclass(frozen=True, slots=True)
class Rewards:
    """What staff do with the catalogue, and how it stands to a person."""

    clock: Clock
    programmes: Programmes
    zone: ZoneInfo

    @property
    def currency(self) -> str:
        """The house's, which costs are in."""
        return self.programmes.currency

    async def add(self, tx: Tx, body: Body) -> Reward:
        """A new reward of a checked body."""
        now = self.clock.now()
        # Sorts by when it was made, to the microsecond.
        reward_id = f"rw_{int(now.timestamp() * 1_000_000):014x}{uuid4().hex[:10]}"
        stock: int | None = body.get("stock")
        await store.insert(tx, reward_id, active=body["active"], stock=stock, body=_text(body), now=now)
        return await offer(tx, reward_id, now)

    async def change(self, tx: Tx, reward_id: str, edit: Callable[[Reward, Body], Body]) -> Reward:
        """A next version, as ``edit`` makes it of the reward and its body. What was taken, was taken as it was then.

        Raises LookupError; StockTaken where of the new stock more is taken than there would be.
        """
        now = self.clock.now()
        if not await store.lock(tx, reward_id) or (row := await store.one(tx, reward_id, now)) is None:
            raise LookupError(f"there is no reward {reward_id}")
        reward, before = _reward(row), msgspec.json.decode(row["body"])
        body = edit(reward, before)
        if body == before:
            return reward
        stock: int | None = body.get("stock")
        if stock is not None:
            await store.lapse(tx, reward_id, now)
        taken = 0 if stock is None else await store.taken_of_stock(tx, reward_id)
        if stock is not None and stock < taken:
            raise StockTaken(taken)
        kept = {"active": body["active"], "stock": stock, "taken": taken, "body": _text(body)}
        await store.change(tx, reward_id, reward.version + 1, now=now, **kept)
        return await offer(tx, reward_id, now)

    async def page(self, tx: Tx, before: str | None, limit: int, *, active: bool) -> list[Reward]:
        """Rewards, the newest first; only the active ones if ``active``."""
        rows = await store.page(tx, before, active=active, limit=limit, now=self.clock.now())
        return [_reward(row) for row in rows]


    async def standings(self, tx: Tx, rewards: Sequence[Reward], accounts: Sequence[int]) -> list[Standing]:
        """How these rewards stand to the person of these accounts, in their order."""
        now = self.clock.now()
        programme = in_force(await self.programmes.known(tx), now)
        tier = (await ladder_of(tx, accounts, programme)).at(now) if programme else None
        has = (await balance_at(tx, accounts, now)).available
        counts = await _taken(tx, rewards, accounts, now, self.zone)
        standings = []
        for one in rewards:
            inside, often = await _in_segment(tx, one, accounts), counts.get(one.reward_id, 0)
            held_out = await _is_held_out(tx, one, accounts)
            found = refusals(one, tier=tier, in_segment=inside, taken_in_period=often, now=now, held_out=held_out)
            standings.append(Standing(tuple(found), max(0, one.points - has)))
        return standings


async def offered_to(tx: Tx, rewards: Sequence[Reward], accounts: Sequence[int]) -> list[Reward]:
    """Those of them that aren't kept from the person of these accounts, for his own eyes."""
    return [one for one in rewards if not await _is_held_out(tx, one, accounts)]


@contextmanager
def told(*, to_customer: bool) -> Iterator[None]:
    """A customer isn't told that a reward is kept from him: to him it isn't offered."""
    try:
        yield
    except Refused as error:
        if to_customer and error.refusal.code == "held-out":
            raise Refused(NOT_OFFERED) from None
        raise


async def _is_held_out(tx: Tx, reward: Reward, accounts: Sequence[int]) -> bool:
    return bool(reward.holdout) and await is_held_out(tx, reward.reward_id, accounts, reward.holdout)


async def _in_segment(tx: Tx, reward: Reward, accounts: Sequence[int]) -> bool:
    return not reward.segments or await segments.is_in_any(tx, accounts, reward.segments)


async def _taken(
    tx: Tx, rewards: Sequence[Reward], accounts: Sequence[int], now: datetime, zone: ZoneInfo
) -> dict[str, int]:  # fmt: skip
    since = {one.reward_id: one.limit.since(now, zone) for one in rewards if one.limit}
    return await store.taken(tx, since, accounts, now) if since else {}


def _text(body: Body) -> str:
    return msgspec.json.encode(body).decode()


def _reward(row: Row) -> Reward:
    body = msgspec.json.decode(row["body"])
    return read_reward(row["reward_id"], row["version"], row["created_at"], row["stock"], row["stock_left"], body)
