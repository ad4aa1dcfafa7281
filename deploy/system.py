"""The embedded system: PostgreSQL, a broker and all four services in one process, on one port."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from sqlalchemy.engine import make_url

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


@dataclass(frozen=True, slots=True)
class ServiceDatabase:
    """A service's database: as its role and as its owner see it."""

    dsn: str
    owner_dsn: str


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """A broker, and a PostgreSQL server with a database for each service."""

    kafka: KafkaSettings
    admin_dsn: str
    databases: Mapping[str, ServiceDatabase]
    broker_pid: int | None = None


@dataclass(slots=True)
class System:
    """A running system: all four services in this process, on one port."""

    data_dir: Path
    url: str
    secret: str
    infrastructure: Infrastructure
    clock: Clock
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
            "postgres": self.infrastructure.admin_dsn,
            "token": self.token,
            "data_dir": str(self.data_dir.resolve()),
        }

    @property
    def kafka(self) -> KafkaSettings:
        """The broker."""
        return self.infrastructure.kafka

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
        """Does what is due of a service's job, all of it, now. Raises KeyError for a job that isn't there."""
        runner = self.services[service].runner
        jobs = {known.name: known for known in runner.jobs}
        return await runner.run_once(jobs[job], wait=True)


@contextlib.asynccontextmanager
async def running(options: Options, say: Say = lambda _: None) -> AsyncIterator[System]:
    """Starts everything, yields when every service is ready, and stops it in reverse.

    Raises DirectoryInUse when another live instance has the data directory, OSError when the port is taken.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(DirectoryLock(options.data_dir))
        listener = stack.enter_context(contextlib.closing(listen("127.0.0.1", options.port)))
        say("starting PostgreSQL and the broker")
        infrastructure = await _start_infrastructure(options, stack)
        clock = VirtualClock(options.start_clock) if options.start_clock else SystemClock()
        system = await stack.enter_async_context(served(options.data_dir, infrastructure, listener, clock, say))
        runtime = options.data_dir / RUNNING
        write_private(runtime, json.dumps(system.describe()))
        stack.callback(runtime.unlink, missing_ok=True)
        yield system
        say("stopping")


@contextlib.asynccontextmanager
async def served(
    data_dir: Path, infrastructure: Infrastructure, listener: socket.socket, clock: Clock, say: Say = lambda _: None
) -> AsyncIterator[System]:
    """Runs all four services on an infrastructure that is there; yields when every one is ready."""
    secret = load_or_create_secret(data_dir)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    say("migrating the databases, creating the topics")
    await asyncio.gather(_migrate(infrastructure, data_dir), kafka.create_topics(infrastructure.kafka))
    surroundings = Surroundings(
        house=HouseSettings(), kafka=infrastructure.kafka, http=HttpSettings(jwt_secret=SecretStr(secret)), clock=clock
    )
    system = System(data_dir, url, secret, infrastructure, clock)
    system.services = {name: _build(name, system, surroundings) for name in SERVICES}
    async with contextlib.AsyncExitStack() as stack:
        for service in system.services.values():
            stack.push_async_callback(service.stop)
        if system.kafka.keep_published:
            await _publish_again(system)
        say("starting the services")
        await stack.enter_async_context(serving(gateway(system), listener))
        await asyncio.gather(*(service.start() for service in system.services.values()))
        await _until_ready(system)
        if system.kafka.keep_published:
            sweeper = asyncio.create_task(_sweep(system), name="published.sweep")
            stack.push_async_callback(_cancelled, sweeper)
        yield system


async def _start_infrastructure(options: Options, stack: contextlib.AsyncExitStack) -> Infrastructure:
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

    postgres, broker = await asyncio.gather(start_postgres(), start_broker())
    databases: dict[str, ServiceDatabase] = {
        name: ServiceDatabase(postgres.dsn(name), postgres.owner_dsn(name)) for name in SERVICES
    }
    return Infrastructure(_kafka_settings(options, broker), postgres.admin_dsn(), databases, broker.pid)


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


async def _migrate(infrastructure: Infrastructure, data_dir: Path) -> None:
    for name, database in infrastructure.databases.items():
        secrets = _secrets(name, data_dir)
        await upgrade(name, database.owner_dsn, make_url(database.dsn).username or name, secrets)


def _secrets(name: str, data_dir: Path) -> dict[str, str]:
    wanted = "master_key" in entry(name).settings.model_fields
    return {"master_key": load_or_create_secret(data_dir, "master-key")} if wanted else {}


def _build(name: str, system: System, surroundings: Surroundings) -> Service:
    found = entry(name)
    database = system.infrastructure.databases[name]
    values: dict[str, object] = {
        "database_url": SecretStr(database.dsn),
        "database_owner_url": SecretStr(database.owner_dsn),
        **{setting: SecretStr(secret) for setting, secret in _secrets(name, system.data_dir).items()},
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
