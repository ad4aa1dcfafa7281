"""The embedded system: PostgreSQL, a broker and all four services in one process, on one port."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from deploy.catalogue import entry
from deploy.gateway import gateway
from deploy.local.broker import Broker
from deploy.local.lock import DirectoryLock
from deploy.local.postgres import LocalPostgres
from deploy.local.secrets import load_or_create_secret, write_private
from deploy.local.tansu import LocalTansu
from deploy.quiet import Backlog, until_quiet
from deploy.remote import RUNNING
from deploy.server import listen, serving
from shared.clock import Clock, SystemClock, VirtualClock
from shared.contracts.topics import SERVICES
from shared.db import Database, fetch
from shared.http.auth import issue_token
from shared.http.settings import HttpSettings
from shared.messaging import kafka, outbox
from shared.messaging.kafka import group_of
from shared.migrations import upgrade
from shared.service import Service, Surroundings
from shared.settings import HouseSettings, KafkaSettings

BrokerKind = Literal["tansu", "kafka"]
Say = Callable[[str], None]
SWEEP_SECONDS = 5.0
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What ``./roost up`` and ``./roost demo`` may be told. Ports: 0 picks a free one."""

    data_dir: Path
    port: int = 8000
    postgres_port: int = 0
    broker_port: int = 0
    broker: BrokerKind = "tansu"
    start_clock: datetime | None = None
    partitions: int = 1


@dataclass(slots=True)
class System:
    """A running embedded system."""

    options: Options
    url: str
    secret: str
    kafka: KafkaSettings
    clock: Clock
    postgres: LocalPostgres
    broker_pid: int | None = None
    services: Mapping[str, Service] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """A token with scope admin, for 12 hours."""
        return issue_token(self.secret, "admin")

    def describe(self) -> dict[str, str]:
        """What another program needs to drive the system."""
        return {
            "url": self.url,
            "bootstrap_servers": self.kafka.bootstrap_servers,
            "postgres": self.postgres.admin_dsn(),
            "token": self.token,
            "data_dir": str(self.options.data_dir.resolve()),
        }

    @property
    def topics(self) -> dict[str, list[str]]:
        """What each service reads."""
        return {name: service.topics for name, service in self.services.items()}

    @property
    def databases(self) -> dict[str, Database]:
        """Each service's database."""
        return {name: service.db for name, service in self.services.items()}

    async def until_quiet(
        self, *, seconds: float = 600, progress: Callable[[Backlog], None] = lambda _: None
    ) -> None:
        """Waits until everything has flowed through all services."""
        await until_quiet(self.kafka, self.topics, self.databases, seconds=seconds, progress=progress)

    async def run_job(self, service: str, job: str) -> int:
        """Does what is due of a service's job, now. Raises KeyError for a job that isn't there."""
        runner = self.services[service].runner
        jobs = {known.name: known for known in runner.jobs}
        return await runner.run_once(jobs[job])


@contextlib.asynccontextmanager
async def running(options: Options, say: Say = lambda _: None) -> AsyncIterator[System]:
    """Starts everything, yields when every service is ready, and stops it in reverse.

    Raises DirectoryInUse when another live instance has the data directory, OSError when the port is taken.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(DirectoryLock(options.data_dir))
        secret = load_or_create_secret(options.data_dir)
        listener = stack.enter_context(contextlib.closing(listen("127.0.0.1", options.port)))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        say("starting PostgreSQL and the broker")
        postgres, broker = await _start_infrastructure(options, stack)
        settings = _kafka_settings(options, broker)
        clock = VirtualClock(options.start_clock) if options.start_clock else SystemClock()
        say("migrating the databases, creating the topics")
        await asyncio.gather(_migrate(postgres), kafka.create_topics(settings))
        surroundings = Surroundings(
            house=HouseSettings(), kafka=settings, http=HttpSettings(jwt_secret=SecretStr(secret)), clock=clock
        )
        system = System(options, url, secret, settings, clock, postgres, broker.pid)
        system.services = {name: _build(name, system, surroundings) for name in SERVICES}
        if not broker.durable:
            await _publish_again(system)
        say("starting the services")
        for service in system.services.values():
            stack.push_async_callback(service.stop)
        await stack.enter_async_context(serving(gateway(system), listener))
        await asyncio.gather(*(service.start() for service in system.services.values()))
        await _until_ready(system)
        if settings.keep_published:
            sweeper = asyncio.create_task(_sweep(system), name="published.sweep")
            stack.push_async_callback(_cancelled, sweeper)
        runtime = options.data_dir / RUNNING
        write_private(runtime, json.dumps(system.describe()))
        stack.callback(runtime.unlink, missing_ok=True)
        yield system
        say("stopping")


async def _start_infrastructure(options: Options, stack: contextlib.AsyncExitStack) -> tuple[LocalPostgres, Broker]:
    async def start_postgres() -> LocalPostgres:
        server = await LocalPostgres.start(options.data_dir, options.postgres_port)
        stack.push_async_callback(server.stop)
        for name in SERVICES:
            await server.ensure_database(name)
        return server

    async def start_broker() -> Broker:
        if options.broker == "kafka":
            from deploy.local.kafka import LocalKafka

            started: Broker = await LocalKafka.start(options.data_dir, options.broker_port)
        else:
            started = await LocalTansu.start(options.data_dir, options.broker_port)
        stack.push_async_callback(started.stop)
        return started

    return await asyncio.gather(start_postgres(), start_broker())


def _kafka_settings(options: Options, broker: Broker) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers,
        partitions=options.partitions,
        replication_factor=1,
        enable_idempotence=broker.idempotent_producer,
        fetch_max_wait_ms=50,
        session_timeout_ms=6_000,
        keep_published=not broker.durable,
    )


async def _migrate(postgres: LocalPostgres) -> None:
    for name in SERVICES:
        await upgrade(name, postgres.owner_dsn(name), name)


def _build(name: str, system: System, surroundings: Surroundings) -> Service:
    found = entry(name)
    values: dict[str, object] = {
        "database_url": SecretStr(system.postgres.dsn(name)),
        "database_owner_url": SecretStr(system.postgres.owner_dsn(name)),
    }
    if "profile_url" in found.settings.model_fields:
        values["profile_url"] = f"{system.url}/profile"
    return found.build(surroundings, found.settings(**values))  # type: ignore[arg-type]  # checked by pydantic


async def _publish_again(system: System) -> None:
    """The broker that had these is gone; consumers know what they have applied."""
    for db in system.databases.values():
        async with db.transaction() as tx:
            await outbox.publish_again(tx)


async def _until_ready(system: System) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            states = [await service.readiness() for service in system.services.values()]
            if all(state in ("ready", "standby") for service in states for state in service.values()):
                return
            await asyncio.sleep(0.05)


async def _sweep(system: System) -> None:
    """Deletes published rows once every local group has committed them."""
    groups = {group_of(name): topics for name, topics in system.topics.items()}
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        with contextlib.suppress(Exception):  # the next round does it: nothing is lost by keeping rows
            found = await kafka.committed_and_end(system.kafka, groups)
            lowest: dict[tuple[str, int], int] = {}
            for places in found.values():
                for place, (committed, _) in places.items():
                    lowest[place] = min(lowest.get(place, committed), committed)
            for db in system.databases.values():
                async with db.transaction() as tx:
                    if await fetch(tx, "SELECT 1 FROM outbox WHERE published_offset IS NOT NULL LIMIT 1"):
                        await outbox.forget(tx, lowest)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
