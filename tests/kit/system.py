"""The whole system for end-to-end tests, on the broker that the session was asked to test, and its HTTP client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import msgspec

from deploy.server import listen
from deploy.system import Infrastructure, Options, ServiceDatabase, System, running, served
from shared.clock import SystemClock
from shared.contracts.topics import SERVICES
from shared.http.auth import issue_token
from shared.messaging import kafka
from shared.messaging.records import Record
from tests.kit import infra
from tests.kit.databases import Databases


@asynccontextmanager
async def whole_system(data_dir: Path) -> AsyncIterator[System]:
    """All four services in this process: as ``./roost up`` runs them, or on the infrastructure that was given."""
    kind = infra.kind()
    if kind in ("embedded", "kafka"):
        options = Options(data_dir, port=0, broker="kafka" if kind == "kafka" else "tansu")
        async with running(options) as system:
            yield system
        return
    async with infra.postgres(data_dir) as admin_dsn, infra.broker(data_dir) as (settings, _):
        databases = Databases(admin_dsn)
        made: dict[str, ServiceDatabase] = {}
        for name in SERVICES:
            template = await databases.migrated(name)
            made[name] = ServiceDatabase(template.dsn, template.owner_dsn)
        with closing(listen("127.0.0.1", 0)) as listener:
            async with served(data_dir, Infrastructure(settings, admin_dsn, made), listener, SystemClock()) as system:
                yield system


def client(system: System, scope: str = "admin", customer_id: str | None = None) -> httpx.AsyncClient:
    """A client with a token of that scope; close it."""
    token = issue_token(system.secret, scope, customer_id)
    return httpx.AsyncClient(base_url=system.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


async def publish(system: System, records: list[Record]) -> None:
    """Puts records on their topics, bytes as they are."""
    producer = kafka.producer(system.kafka)
    await producer.start()
    try:
        for record in records:
            await producer.send(record.topic, key=record.key, value=record.value, headers=list(record.headers))
        await producer.flush()
    finally:
        await producer.stop()


async def answer(http: httpx.AsyncClient, path: str, **params: Any) -> Any:
    """The JSON of a GET that must succeed."""
    response = await http.get(path, params=params)
    assert response.is_success, f"{path}: {response.status_code} {response.text}"
    return msgspec.json.decode(response.content)
