"""Purchases taken in under a programme of many rules and of one, in turns."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from deploy.bench.loyalty.programmes import programme
from deploy.bench.purchases import Purchase
from deploy.bench.stage import Stage
from shared.db import fetch
from shared.http.auth import issue_token
from shared.messaging.records import Record
from shared.service import Service

BATCH = 500
MANY = 50
_JUDGED = "SELECT count(*) AS lots, min(programme_version) AS version FROM lots WHERE origin = 'order'"


@dataclass(frozen=True, slots=True)
class Earned:
    """Purchases a second with many rules and with one."""

    many_per_second: float
    one_per_second: float

    @property
    def ratio(self) -> float:
        """What of the speed is left."""
        return self.many_per_second / self.one_per_second


async def measure(stage: Stage, purchases: Sequence[Purchase], turns: int, show: Callable[[int, int], None]) -> Earned:
    """The consumer's way without a broker, batch after batch, each turn in a fresh database; its first batch connects
    and compiles, and isn't counted.

    Raises AssertionError if a purchase wasn't judged by the programme.
    """
    seconds = {MANY: 0.0, 1: 0.0}
    done = 0
    for _ in range(turns):
        for rules in seconds:
            seconds[rules] += await _run(stage, purchases, rules)
            done += 1
            show(done, turns * len(seconds))
    events = turns * (len(purchases) - BATCH)
    return Earned(events / seconds[MANY], events / seconds[1])


async def _run(stage: Stage, purchases: Sequence[Purchase], rules: int) -> float:
    async with stage.database("loyalty") as database:
        service = stage.build("loyalty", database.dsn)
        records = [Record("purchase-recorded", each.key, each.value) for each in purchases]
        try:
            await service.start(())
            version = await post(stage, service, programme(rules))
            await service.intake.take(records[:BATCH])
            began = time.perf_counter()
            for start in range(BATCH, len(records), BATCH):
                await service.intake.take(records[start : start + BATCH])
            seconds = time.perf_counter() - began
            async with service.db.transaction() as tx:
                judged = (await fetch(tx, _JUDGED))[0]
            assert tuple(judged) == (len(records), version), f"{judged} of {len(records)} by version {version}"
            return seconds
        finally:
            await service.stop()


async def post(stage: Stage, service: Service, body: dict[str, Any]) -> int:
    """Posts a version; its number."""
    headers = {"Authorization": f"Bearer {issue_token(stage.secret, 'admin')}"}
    transport = httpx.ASGITransport(service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://loyalty", headers=headers) as client:
        answer = await client.post("/programmes", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["version"])
