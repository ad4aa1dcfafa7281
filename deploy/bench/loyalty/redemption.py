"""Points used: quote, hold and commit, a transaction each, by one customer and by many."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from deploy.bench.loyalty import bare
from deploy.bench.loyalty.bare import CONNECTIONS
from deploy.bench.loyalty.earning import BATCH, post
from deploy.bench.loyalty.programmes import programme
from deploy.bench.purchases import SOURCE
from deploy.bench.stage import Fresh, Stage
from services.loyalty.programmes.application import Programmes
from services.loyalty.redemptions.application import Redemptions
from services.loyalty.redemptions.domain import QUOTE, REDEMPTION, Terms, hold_id_of
from shared.clock import SystemClock
from shared.db import Database, Tx, fetch
from shared.http import idempotency
from shared.messaging.records import Record
from shared.service import Service
from shared.settings import HouseSettings

Shown = Callable[[int, int], None]
STEPS = 3
"""Transactions of a redemption, each with its idempotency key."""
_HELD_FOR = timedelta(minutes=15)
_HMAC = bytes(32)
_USED = "SELECT count(*) AS redemptions, coalesce(sum(points), 0) AS points FROM redemptions"


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A second, of one customer and of as many as there are redemptions: redemptions, and as many bare transactions as
    these are made of, by turns."""

    hot_per_second: float
    spread_per_second: float
    bare_hot_per_second: float
    bare_spread_per_second: float


async def measure(stage: Stage, database: Fresh, redemptions: int, turns: int, show: Shown) -> Redeemed:
    """So many of one customer, and one of each of so many, a point each, 8 at a time, as the routes do them but for
    HTTP itself. In each turn the bare ones go first: a machine's pace is both's.

    Raises AssertionError if one is lost.
    """
    service = stage.build("loyalty", database.dsn)
    share = redemptions // turns
    hot, many = "bench:hot", [f"bench:{n}" for n in range(share * turns)]
    seconds = dict.fromkeys(("bare hot", "hot", "bare spread", "spread"), 0.0)
    try:
        await service.start(())
        await post(stage, service, {**programme(1), "pending_days": 0})
        await _earn(service, [(hot, 100 * redemptions), *((customer, 1_000) for customer in many)])
        house, clock = HouseSettings(), SystemClock()
        room = Redemptions(clock, Programmes(clock, house.currency, house.zone), house.zone)
        # The first of each connection prepares its statements.
        await _all(room, service.db, [hot] * CONNECTIONS, "first")
        for turn in range(turns):
            show(turn, turns)
            of_turn = many[turn * share : (turn + 1) * share]
            for name, customers in (("hot", [hot] * share), ("spread", of_turn)):
                balances = len(set(customers))
                seconds[f"bare {name}"] += await bare.measure(database.admin_dsn, balances, STEPS * share)
                seconds[name] += await _all(room, service.db, customers, f"{name}-{turn}")
        show(turns, turns)
        async with service.db.transaction() as tx:
            used = (await fetch(tx, _USED))[0]
        done = 2 * share * turns + CONNECTIONS
        assert (used["redemptions"], used["points"]) == (done, done), f"{used} of {done}"
    finally:
        await service.stop()
    return Redeemed(
        share * turns / seconds["hot"],
        share * turns / seconds["spread"],
        STEPS * share * turns / seconds["bare hot"],
        STEPS * share * turns / seconds["bare spread"],
    )


async def _all(room: Redemptions, db: Database, customers: Sequence[str], name: str) -> float:
    waiting = iter([(customer, f"{name}-{n}") for n, customer in enumerate(customers)])
    began = time.perf_counter()
    await asyncio.gather(*(_work(room, db, waiting) for _ in range(CONNECTIONS)))
    return time.perf_counter() - began


async def _work(room: Redemptions, db: Database, waiting: Iterator[tuple[str, str]]) -> None:
    for customer, key in waiting:
        quote_id, redemption_id = room.new_id(QUOTE), room.new_id(REDEMPTION)
        hold_id = hold_id_of(quote_id)
        async with db.transaction() as tx:
            await _claim(tx, "/quotes", key, quote_id)
            await room.quote(tx, quote_id, customer, Terms(1))
        async with db.transaction() as tx:
            await _claim(tx, "/holds", key, hold_id)
            await room.hold(tx, quote_id, _HELD_FOR)
        async with db.transaction() as tx:
            await _claim(tx, "/commit", key, redemption_id)
            await room.commit(tx, redemption_id, hold_id)


async def _claim(tx: Tx, route: str, key: str, id: str) -> None:
    replay = await idempotency.claim(tx, route, key, _HMAC, status=201, resource_id=id)
    assert replay is None, "each is new"


async def _earn(service: Service, customers: Sequence[tuple[str, int]]) -> None:
    """A purchase of each, of so much."""
    at = datetime.now(UTC) - timedelta(hours=1)
    records = [Record("purchase-recorded", name.encode(), _purchase(name, paid, at)) for name, paid in customers]
    for start in range(0, len(records), BATCH):
        await service.intake.take(records[start : start + BATCH])


def _purchase(customer_id: str, paid: int, at: datetime) -> bytes:
    money = {"amount": str(paid), "currency": "TWD"}
    data: dict[str, Any] = {
        "customer_id": customer_id,
        "order_id": f"{customer_id}:order",
        "occurred_at": at.isoformat(),
        "channel": "store",
        "total": money,
        "lines": [{"line_id": "1", "sku": "4710000000001", "quantity": 1, "unit_price": money}],
    }
    event = {
        "specversion": "1.0",
        "id": f"{customer_id}:order",
        "source": SOURCE,
        "type": "purchase-recorded.v1",
        "time": at.isoformat(),
        "datacontenttype": "application/json",
        "data": data,
    }
    return msgspec.json.encode(event)
