"""Points used: quote, hold and commit, a command each, by one customer and by many."""

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
from services.loyalty.redemptions.commands import Command, Commit, MakeHold, MakeQuote
from services.loyalty.redemptions.desk import Desk
from services.loyalty.redemptions.domain import QUOTE, REDEMPTION, Terms
from services.loyalty.redemptions.teller import Teller
from shared.clock import SystemClock
from shared.db import Database, fetch
from shared.http.idempotency import Attempt, Claim, Replay
from shared.messaging.records import Record
from shared.service import Service
from shared.settings import HouseSettings

Shown = Callable[[int, int], None]
STEPS = 3
"""Commands of a redemption, each with its idempotency key."""
_HELD_FOR = timedelta(minutes=15)
_HMAC = bytes(32)
_USED = "SELECT count(*) AS redemptions, coalesce(sum(points), 0) AS points FROM redemptions"


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A second, of one customer and of as many as there are redemptions: redemptions, and as many bare transactions as
    these have commands, by turns."""

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
    commands = Database(database.dsn, planned_once=True)
    try:
        await service.start(())
        await post(stage, service, {**programme(1), "pending_days": 0})
        await _earn(service, [(hot, 100 * redemptions), *((customer, 1_000) for customer in many)])
        house, clock = HouseSettings(), SystemClock()
        room = Redemptions(clock)
        teller = Teller(commands, Desk(clock, Programmes(clock, house.currency, house.zone), house.zone))
        # The first of each connection prepares its statements.
        await _all(room, teller, [hot] * CONNECTIONS, "first")
        for turn in range(turns):
            show(turn, turns)
            of_turn = many[turn * share : (turn + 1) * share]
            for name, customers in (("hot", [hot] * share), ("spread", of_turn)):
                balances = len(set(customers))
                seconds[f"bare {name}"] += await bare.measure(database.admin_dsn, balances, STEPS * share)
                seconds[name] += await _all(room, teller, customers, f"{name}-{turn}")
        show(turns, turns)
        async with service.db.transaction() as tx:
            used = (await fetch(tx, _USED))[0]
        done = 2 * share * turns + CONNECTIONS
        assert (used["redemptions"], used["points"]) == (done, done), f"{used} of {done}"
    finally:
        await commands.close()
        await service.stop()
    return Redeemed(
        share * turns / seconds["hot"],
        share * turns / seconds["spread"],
        STEPS * share * turns / seconds["bare hot"],
        STEPS * share * turns / seconds["bare spread"],
    )


async def _all(room: Redemptions, teller: Teller, customers: Sequence[str], name: str) -> float:
    waiting = iter([(customer, f"{name}-{n}") for n, customer in enumerate(customers)])
    began = time.perf_counter()
    await asyncio.gather(*(_work(room, teller, waiting) for _ in range(CONNECTIONS)))
    return time.perf_counter() - began


async def _work(room: Redemptions, teller: Teller, waiting: Iterator[tuple[str, str]]) -> None:
    for customer, key in waiting:
        quote_id, redemption_id = room.new_id(QUOTE), room.new_id(REDEMPTION)
        making = MakeHold(quote_id, _HELD_FOR)
        await _serve(teller, "/quotes", key, quote_id, MakeQuote(quote_id, customer, Terms(1)))
        await _serve(teller, "/holds", key, making.hold_id, making)
        await _serve(teller, "/commit", key, redemption_id, Commit(making.hold_id, redemption_id))


async def _serve(teller: Teller, route: str, key: str, id: str, command: Command[Any]) -> None:
    answer = await teller.serve(Claim(Attempt(route, key, _HMAC), 201, id), command)
    assert not isinstance(answer, Replay), "each is new"


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
