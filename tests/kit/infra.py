"""Where the tests find PostgreSQL and a broker: ``ROOST_TEST_INFRA`` = embedded, kafka, docker or external."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from deploy.local.kafka import LocalKafka
from deploy.local.postgres import LocalPostgres
from deploy.local.tansu import LocalTansu
from shared.settings import KafkaSettings
from tests.kit.containers import kafka_container, postgres_container

Kind = Literal["embedded", "kafka", "docker", "external"]


@dataclass(frozen=True, slots=True)
class Infra:
    """A PostgreSQL server and a broker that all tests of a session share."""

    kind: Kind
    admin_dsn: str
    kafka: KafkaSettings
    durable: bool


HASTY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""No test pulls the machine's plug: what PostgreSQL has committed, its own crash does not lose."""


def kind() -> Kind:
    """Which of the four was asked for; ValueError for anything else."""
    asked = os.environ.get("ROOST_TEST_INFRA", "embedded")
    for known in get_args(Kind):
        if asked == known:
            return known  # type: ignore[no-any-return]  # get_args has no types
    raise ValueError(f"ROOST_TEST_INFRA={asked}: choose one of {', '.join(get_args(Kind))}")


@asynccontextmanager
async def postgres(data_dir: Path) -> AsyncIterator[str]:
    """The DSN of somebody who may create databases and roles."""
    match kind():
        case "embedded" | "kafka":
            server = await LocalPostgres.start(data_dir, settings=HASTY)
            try:
                yield server.admin_dsn()
            finally:
                await server.stop()
        case "docker":
            with postgres_container() as dsn:
                yield dsn
        case "external":
            yield os.environ["ROOST_TEST_POSTGRES"]


@asynccontextmanager
async def broker(data_dir: Path) -> AsyncIterator[tuple[KafkaSettings, bool]]:
    """How to reach the broker, and whether it keeps its log over a restart."""
    match kind():
        case "embedded":
            tansu = await LocalTansu.start(data_dir)
            try:
                yield _settings(tansu.bootstrap_servers, idempotent=False), False
            finally:
                await tansu.stop()
        case "kafka":
            apache = await LocalKafka.start(data_dir)
            try:
                yield _settings(apache.bootstrap_servers), True
            finally:
                await apache.stop()
        case "docker":
            with kafka_container() as bootstrap_servers:
                yield _settings(bootstrap_servers), True
        case "external":
            yield _settings(os.environ["ROOST_TEST_BOOTSTRAP_SERVERS"]), True


def _settings(bootstrap_servers: str, *, idempotent: bool = True) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=bootstrap_servers,
        partitions=2,
        fetch_max_wait_ms=50,
        session_timeout_ms=3_000 if not idempotent else 6_000,
        enable_idempotence=idempotent,
    )
