"""All four services with every event they derive, until nothing is on its way: as processes, and in one process."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from deploy.bench.children import Scale, child, until, until_ready
from deploy.bench.purchases import SOURCE, Purchase
from deploy.bench.stage import Stage, on_database, publish
from deploy.local.ports import free_port
from deploy.local.process import ProcessFailed
from deploy.quiet import backlog
from deploy.remote import RUNNING
from shared.contracts.topics import SERVICES
from shared.db import Database, fetch
from shared.settings import KafkaSettings

LONGEST_SECONDS = 300.0
LOOK_SECONDS = 0.25
_PLACED = """
SELECT NOT EXISTS (SELECT FROM placement_marks) AND NOT EXISTS (SELECT FROM placement_queue) AS placed
"""
_FLOW = """
SELECT coalesce(sum(received), 0)::bigint AS received, coalesce(sum(applied), 0)::bigint AS applied
FROM flow WHERE source = :source
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A system of four services, seen from outside. ``url`` and ``token`` are the gateway's, where there is one."""

    pids: Sequence[int]
    kafka: KafkaSettings
    dsns: Mapping[str, str]
    databases: Mapping[str, Database]
    topics: Mapping[str, Sequence[str]]
    url: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class Flowed:
    """Purchases a second, counted from the first one published; the most memory its Python processes had together."""

    per_second: float
    peak_mb: float


async def flow(running: Running, purchases: Sequence[Purchase], say: Callable[[str], None]) -> Flowed:
    """Publishes the purchases and waits until every service has them, and what follows from them: every derived event
    relayed and read, and every customer placed in the segments, which a rush puts off.

    Raises ProcessFailed if some don't apply, TimeoutError if they take too long.
    """
    async with Scale.under(*running.pids) as scale:
        began = time.perf_counter()
        await publish(running.kafka, purchases)
        say(f"{len(purchases)} purchases published in {time.perf_counter() - began:.1f} s")
        seconds = await _until_quiet(running, len(purchases)) - began
    for name, db in running.databases.items():
        if (found := (await _flow_of(db))[1]) != len(purchases):
            raise ProcessFailed(f"{name} applied {found} of {len(purchases)} purchases")
    return Flowed(len(purchases) / seconds, scale.peak_mb)


@asynccontextmanager
async def as_processes(stage: Stage) -> AsyncIterator[Running]:
    """Each service as ``roost serve`` runs it, all groups formed."""
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(stage.broker())
        fresh = {name: await stack.enter_async_context(stage.database(name)) for name in SERVICES}
        ports = {name: free_port() for name in SERVICES}
        log = stage.home / "services.log"
        environment = {"ENGAGEMENT_PROFILE_URL": f"http://127.0.0.1:{ports['profile']}"}
        for database in fresh.values():
            environment |= stage.environment(settings, database)
        processes = {}
        for name, port in ports.items():
            own = {**environment, "ROOST_PORT": str(port)}
            processes[name] = await stack.enter_async_context(
                child("deploy.cli", "serve", name, log=log, environment=own)
            )
        for name, port in ports.items():
            await until_ready(f"http://127.0.0.1:{port}", processes[name], log)
        dsns: dict[str, str] = {name: database.admin_dsn for name, database in fresh.items()}
        yield await _seen(stack, [process.pid for process in processes.values()], settings, dsns, stage)


@asynccontextmanager
async def in_one_process(stage: Stage) -> AsyncIterator[Running]:
    """What ``roost up`` starts, on a PostgreSQL and a broker of its own."""
    data_dir, log = stage.home / "up", stage.home / "up.log"
    arguments = ("up", "--data", str(data_dir), "--port", "0", "--broker", stage.kind)
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(child("deploy.cli", *arguments, log=log, environment={}))
        await until((data_dir / RUNNING).exists, "the embedded system", process, log)
        described = json.loads((data_dir / RUNNING).read_text())
        settings = KafkaSettings(
            bootstrap_servers=described["bootstrap_servers"], enable_idempotence=stage.kind == "kafka"
        )
        dsns: dict[str, str] = {name: on_database(described["postgres"], name) for name in SERVICES}
        seen = await _seen(stack, [process.pid], settings, dsns, stage)
        yield replace(seen, url=described["url"], token=described["token"])


async def _seen(
    stack: AsyncExitStack, pids: Sequence[int], settings: KafkaSettings, dsns: Mapping[str, str], stage: Stage
) -> Running:
    databases = {name: Database(dsn, pool_size=2) for name, dsn in dsns.items()}
    for db in databases.values():
        stack.push_async_callback(db.close)
    topics = {}
    for name, dsn in dsns.items():
        built = stage.build(name, dsn)
        topics[name] = built.topics
        await built.db.close()
    return Running(pids, settings, dsns, databases, topics)


async def _until_quiet(running: Running, purchases: int) -> float:
    """When everything was first seen to have flowed through, which a second look confirmed.

    As long as purchases are on their way, which costs little to ask, the broker isn't asked for lags.
    """
    deadline = time.monotonic() + LONGEST_SECONDS
    first: float | None = None
    while True:
        taken = [(await _flow_of(db))[0] for db in running.databases.values()]
        on_the_way = min(taken) < purchases
        now = time.perf_counter()
        if not on_the_way and await calm(running):
            if first is not None:
                return first
            first = now
            continue
        first = None
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {LONGEST_SECONDS:.0f} s {dict(zip(running.databases, taken, strict=True))}")
        await asyncio.sleep(LOOK_SECONDS)


async def calm(running: Running) -> bool:
    """Whether nothing is on its way, and nobody waits for a place in the segments."""
    async with running.databases["profile"].transaction() as tx:
        if not (await fetch(tx, _PLACED))[0]["placed"]:
            return False
    return not (await backlog(running.kafka, running.topics, running.databases)).total


async def _flow_of(db: Database) -> tuple[int, int]:
    async with db.transaction() as tx:
        row = (await fetch(tx, _FLOW, source=SOURCE))[0]
        return row["received"], row["applied"]
