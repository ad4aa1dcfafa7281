"""An account read beside a route that answers nothing, from one process, over sockets, in turns."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from deploy.bench.children import child, until_ready
from deploy.bench.profile.load import Answered, ask
from deploy.bench.purchases import Purchase
from deploy.bench.stage import Stage
from deploy.local.ports import free_port
from shared.http.auth import issue_token
from shared.messaging.records import Record
from shared.settings import KafkaSettings

CONNECTIONS = 8
TURNS = 4
BATCH = 500


@dataclass(frozen=True, slots=True)
class Read:
    """Answers a second, and the milliseconds that half and 99 of 100 of them stay under."""

    per_second: float
    p50_ms: float
    p99_ms: float


async def measure(
    stage: Stage, purchases: Sequence[Purchase], requests: int, show: Callable[[int, int], None]
) -> tuple[Read, Read]:
    """Of an account, and of the empty route: ``requests`` of each in every turn, over 8 connections that stay open."""
    async with stage.database("loyalty") as database:
        service = stage.build("loyalty", database.dsn)
        try:
            await service.start(())
            for start in range(0, len(purchases), BATCH):
                batch = purchases[start : start + BATCH]
                await service.intake.take([Record("purchase-recorded", each.key, each.value) for each in batch])
        finally:
            await service.stop()
        port, log = free_port(), stage.home / "reading.log"
        environment = {**stage.environment(KafkaSettings(), database), "ROOST_PORT": str(port)}
        token, dice = issue_token(stage.secret, "loyalty:read"), random.Random(23)  # a bench's dice
        customers = sorted({each.customer_id for each in purchases})
        seen: dict[str, list[Answered]] = {"/empty/": [], "/accounts/": []}
        async with child("deploy.bench.loyalty.serving", log=log, environment=environment) as process:
            url = f"http://127.0.0.1:{port}"
            await until_ready(url, process, log)
            for turn in range(TURNS + 1):
                for path, answered in seen.items():
                    paths = [path + dice.choice(customers) for _ in range(requests)]
                    found = await ask(url, token, paths, CONNECTIONS)
                    # The first turn connects and compiles.
                    if turn:
                        answered.append(found)
                show(turn + 1, TURNS + 1)
    empty, account = (_figures(answered) for answered in seen.values())
    return account, empty


def _figures(answered: Sequence[Answered]) -> Read:
    each = [seconds for one in answered for seconds in one.each]
    p50, p99 = np.percentile(each, (50, 99))
    return Read(len(each) / sum(one.seconds for one in answered), float(p50) * 1000, float(p99) * 1000)
