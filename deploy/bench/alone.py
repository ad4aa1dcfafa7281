"""One service's consumer, relay and jobs until so many purchases are applied and relayed, in a process of its own.

``python -m deploy.bench.alone NAME PURCHASES RESULT``; the environment tells the rest, as it tells ``roost serve``.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from deploy.catalogue import entry
from deploy.environment import deployed
from shared.db import Database, fetch
from shared.messaging.consumer import Consumer
from shared.messaging.intake import Intake, Reading
from shared.messaging.records import Record
from shared.observability import configure_logging

LOOK_SECONDS = 0.005
PURCHASES = "purchase-recorded"
_WAITING = "SELECT EXISTS (SELECT FROM outbox WHERE published_offset IS NULL) AS waiting"


@dataclass(slots=True)
class WatchedIntake(Intake):
    """An intake that notes when it began, and how many purchases it has applied."""

    began: tuple[float, float] | None = None
    purchases: int = 0
    _last: dict[int, int] = field(default_factory=dict)

    async def read(self, records: Sequence[Record]) -> list[Reading]:
        """As ever."""
        if records:
            self.began = self.began or (time.perf_counter(), time.process_time())
        return await Intake.read(self, records)

    async def apply(self, readings: Sequence[Reading]) -> None:
        """As ever."""
        await Intake.apply(self, readings)
        for record, _ in readings:
            # A batch that was tried before comes by here again.
            if record.topic == PURCHASES and record.offset > self._last.get(record.partition, -1):
                self._last[record.partition] = record.offset
                self.purchases += 1


async def run_alone(name: str, purchases: int) -> dict[str, float]:
    """``seconds`` from the first batch to the last purchase applied and the outbox empty; ``cpu_seconds`` of it here.

    Counting from the first batch leaves out what a start costs once: imports, connections, forming the group.
    """
    found = deployed(name)
    service = entry(name).build(found.surroundings, found.settings)
    intake = WatchedIntake(name, service.intake.use_cases, service.db, service.intake.clock, service.relay.wake)
    service.consumer = Consumer(intake, found.surroundings.kafka)
    await service.start(("consumer", "relay", "jobs"))
    try:
        while intake.purchases < purchases or await _waiting(service.db):  # noqa: ASYNC110  # a table, not an event
            await asyncio.sleep(LOOK_SECONDS)
        assert intake.began is not None, "purchases have been taken"
        wall, cpu = intake.began
        return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    finally:
        await service.stop()


async def _waiting(db: Database) -> bool:
    async with db.transaction() as tx:
        return bool((await fetch(tx, _WAITING))[0]["waiting"])


if __name__ == "__main__":
    configure_logging(json=True, level="WARNING")
    _, asked, count, result = sys.argv
    Path(result).write_text(json.dumps(uvloop.run(run_alone(asked, int(count)))))
