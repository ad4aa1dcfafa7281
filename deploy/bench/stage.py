"""The stage of a run: one PostgreSQL with a migrated template of each service, and a new broker for each scene."""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from pydantic import SecretStr

from deploy.bench.purchases import Purchase
from deploy.catalogue import entry
from deploy.local.broker import Broker
from deploy.local.postgres import LocalPostgres
from deploy.local.secrets import new_password
from deploy.local.tansu import LocalTansu
from deploy.system import BrokerKind
from shared.clock import SystemClock
from shared.contracts.topics import SERVICES
from shared.http.settings import HttpSettings
from shared.messaging import kafka
from shared.migrations import upgrade
from shared.service import Service, Surroundings
from shared.settings import HouseSettings, KafkaSettings

SESSION_TIMEOUT_MS = 3_000
FETCH_MAX_WAIT_MS = 50
AT_ONCE = 1_000

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Fresh:
    """A database as the migrations leave it: as the service connects, and as the superuser does."""

    service: str
    dsn: str
    admin_dsn: str


@dataclass(slots=True)
class Stage:
    """What a run stands on. Everything lies under ``home`` and goes with it."""

    home: Path
    kind: BrokerKind
    postgres: LocalPostgres
    secret: str = field(default_factory=new_password)

    @classmethod
    @asynccontextmanager
    async def built(cls, kind: BrokerKind, services: Sequence[str] = SERVICES) -> AsyncIterator[Self]:
        """Starts PostgreSQL with these services' templates, beside the data that ``./roost up`` would have: on the
        same disk."""
        home = _new_home(Path(".roost"))
        try:
            postgres = await LocalPostgres.start(home)
            try:
                for name in services:
                    await postgres.ensure_database(name)
                    await upgrade(name, postgres.owner_dsn(name), name)
                yield cls(home, kind, postgres)
            finally:
                await postgres.stop()
        finally:
            shutil.rmtree(home, ignore_errors=True)

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[KafkaSettings]:
        """A broker with all topics and no records."""
        data_dir = self.home / f"broker-{next(_numbers)}"
        started: Broker
        if self.kind == "kafka":
            from deploy.local.kafka import LocalKafka

            started = await LocalKafka.start(data_dir)
        else:
            started = await LocalTansu.start(data_dir)
        try:
            settings = KafkaSettings(
                bootstrap_servers=started.bootstrap_servers,
                partitions=1,
                enable_idempotence=started.idempotent_producer,
                fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
                session_timeout_ms=SESSION_TIMEOUT_MS if self.kind == "tansu" else 2 * SESSION_TIMEOUT_MS,
            )
            await kafka.create_topics(settings)
            yield settings
        finally:
            await started.stop()
            shutil.rmtree(data_dir, ignore_errors=True)

    @asynccontextmanager
    async def database(self, service: str) -> AsyncIterator[Fresh]:
        """A database of the service's newest version, dropped at the end.

        The checkpoint leaves it no earlier scene's dirty pages to write.
        """
        name = f"{service}_{next(_numbers)}"
        admin = await asyncpg.connect(self.postgres.admin_dsn())
        try:
            await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{service}" OWNER "{service}_owner"')
            await admin.execute("CHECKPOINT")
            yield Fresh(
                service,
                on_database(self.postgres.dsn(service), name),
                on_database(self.postgres.admin_dsn(), name),
            )
        finally:
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await admin.close()

    def environment(self, settings: KafkaSettings, database: Fresh) -> dict[str, str]:
        """What ``roost serve`` is told of its broker and database."""
        return {
            "ROOST_LOG_LEVEL": "WARNING",
            "ROOST_HTTP_JWT_SECRET": self.secret,
            "ROOST_KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "ROOST_KAFKA_PARTITIONS": str(settings.partitions),
            "ROOST_KAFKA_ENABLE_IDEMPOTENCE": str(settings.enable_idempotence),
            "ROOST_KAFKA_FETCH_MAX_WAIT_MS": str(settings.fetch_max_wait_ms),
            "ROOST_KAFKA_SESSION_TIMEOUT_MS": str(settings.session_timeout_ms),
            f"{database.service.upper()}_DATABASE_URL": database.dsn,
            "PROFILE_MASTER_KEY": self.secret,
        }

    def build(self, name: str, dsn: str) -> Service:
        """The service in this process, not started."""
        found = entry(name)
        surroundings = Surroundings(
            HouseSettings(), KafkaSettings(), HttpSettings(jwt_secret=SecretStr(self.secret)), SystemClock()
        )
        values: dict[str, object] = {"database_url": SecretStr(dsn)}
        if "master_key" in found.settings.model_fields:
            values["master_key"] = SecretStr(self.secret)
        return found.build(surroundings, found.settings(**values))  # type: ignore[arg-type]  # checked by pydantic


async def publish(settings: KafkaSettings, purchases: Sequence[Purchase]) -> None:
    """Puts purchases on their topic, and returns when the broker has them all."""
    producer = kafka.producer(settings)
    await producer.start()
    try:
        for start in range(0, len(purchases), AT_ONCE):
            chunk = purchases[start : start + AT_ONCE]
            sent = [await producer.send("purchase-recorded", key=each.key, value=each.value) for each in chunk]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()


def on_database(dsn: str, name: str) -> str:
    """The same server and role, another database."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(path=f"/{name}"))


def _new_home(parent: Path) -> Path:
    parent.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="bench-", dir=parent)).resolve()
