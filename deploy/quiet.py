"""When everything has flowed through: lag 0 in every group and every outbox empty, twice in a row."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shared.db import Database, fetch
from shared.messaging import kafka
from shared.messaging.kafka import group_of
from shared.service import Service
from shared.settings import KafkaSettings

_WAITING = "SELECT count(*) AS n FROM outbox WHERE published_offset IS NULL"


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is on its way: records each group has not committed, rows each outbox has not published."""

    lag: Mapping[str, int]
    waiting: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.lag.values()) + sum(self.waiting.values())


async def backlog(
    settings: KafkaSettings, topics: Mapping[str, Sequence[str]], databases: Mapping[str, Database]
) -> Backlog:
    """The backlog of services, by name: the topics each reads, the database each has."""
    found = await kafka.committed_and_end(settings, {group_of(name): names for name, names in topics.items()})
    lag = {
        name: sum(max(0, end - committed) for committed, end in found[group_of(name)].values()) for name in topics
    }
    waiting = {}
    for name, db in databases.items():
        waiting[name] = await _waiting(db)
    return Backlog(lag, waiting)


async def until_quiet(
    settings: KafkaSettings,
    topics: Mapping[str, Sequence[str]],
    databases: Mapping[str, Database],
    *,
    seconds: float = 600,
    progress: Callable[[Backlog], None] = lambda _: None,
) -> None:
    """Waits until nothing is on its way, twice in a row. Raises TimeoutError, naming what still is."""
    deadline = time.monotonic() + seconds
    quiet = 0
    while quiet < 2:
        now = await backlog(settings, topics, databases)
        progress(now)
        quiet = 0 if now.total else quiet + 1
        if now.total and time.monotonic() > deadline:
            raise TimeoutError(f"still on their way after {seconds:.0f} s: lag {now.lag}, outboxes {now.waiting}")
        await asyncio.sleep(0.05 if quiet else 0.2)


async def until_settled(services: Mapping[str, Service], *, seconds: float = 120) -> None:
    """Waits until the services of this process have published all they decided, and applied what they published.

    It asks the broker nothing, so it takes milliseconds where nothing is on its way; what others publish doesn't
    count. Raises TimeoutError, naming what still is on its way.
    """
    deadline = time.monotonic() + seconds
    while True:
        ends = _ends(services)
        behind = _behind(services, ends)
        if not behind:
            waiting = await asyncio.gather(*(_waiting(service.db) for service in services.values()))
            # Nothing was published meanwhile, so nobody had anything to apply while the outboxes were looked at.
            if not any(waiting) and ends == _ends(services):
                return
            for service in services.values():
                service.relay.wake()
        if time.monotonic() > deadline:
            raise TimeoutError(f"still on their way after {seconds:.0f} s: {', '.join(behind) or 'outboxes'}")
        await asyncio.sleep(0.002)


def _ends(services: Mapping[str, Service]) -> dict[tuple[str, int], int]:
    ends: dict[tuple[str, int], int] = {}
    for service in services.values():
        for place, end in service.relay.ends.items():
            ends[place] = max(end, ends.get(place, 0))
    return ends


def _behind(services: Mapping[str, Service], ends: Mapping[tuple[str, int], int]) -> list[str]:
    return [
        f"{topic} to {name}"
        for name, service in services.items()
        for (topic, partition), end in ends.items()
        if topic in service.intake.use_cases and service.consumer.committed.get((topic, partition), 0) < end
    ]


async def _waiting(db: Database) -> int:
    async with db.transaction() as tx:
        return int((await fetch(tx, _WAITING))[0]["n"])
