"""Churn, built as its main builds it, on a database of its own and in time that stands still."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
from pydantic import SecretStr

from services.churn.main import build
from services.churn.scoring.application import Scoring
from services.churn.scoring.whole_base import WholeBase
from services.churn.settings import ChurnSettings
from shared.clock import VirtualClock
from shared.db import fetch
from shared.http.auth import issue_token
from shared.http.settings import HttpSettings
from shared.messaging.records import Record
from shared.service import Service, Surroundings
from shared.settings import HouseSettings, KafkaSettings
from tests.kit.builders import NOW, record
from tests.kit.databases import TestDatabase

SECRET = "a secret of thirty-two bytes, for tests"
HOUSE = HouseSettings(currency="TWD", time_zone="Asia/Taipei")


@dataclass(frozen=True, slots=True)
class Churn:
    """The service under test. ``published`` reads the outbox: no relay empties it."""

    service: Service
    clock: VirtualClock

    @property
    def scoring(self) -> Scoring:
        return Scoring(HOUSE, self.clock)

    def whole_base(self, chunk: int = 1_000) -> WholeBase:
        return WholeBase(self.service.db, self.scoring, lambda: None, chunk)

    async def take(self, *events: tuple[str, dict[str, Any]]) -> None:
        """Takes (topic, data) in, one batch."""
        await self.take_records([record(topic, data) for topic, data in events])

    async def take_records(self, records: Sequence[Record]) -> None:
        """Takes records in, one batch; nothing of them may be parked."""
        await self.service.intake.take(records)
        assert self.service.intake.counts["parked"] == 0

    async def score_all(self) -> int:
        return await self.whole_base().score_all()

    async def published(self, *topics: str) -> list[tuple[str, dict[str, Any]]]:
        """(topic, data) of what was announced, in its order."""
        async with self.service.db.transaction() as tx:
            rows = await fetch(tx, "SELECT topic, value FROM outbox ORDER BY id")
        return [
            (row["topic"], msgspec.json.decode(row["value"])["data"])
            for row in rows
            if not topics or row["topic"] in topics
        ]

    async def state_hash(self) -> str:
        async with self.service.db.transaction() as tx:
            return await self.scoring.state_hash(tx, self.clock.now() + timedelta(days=30))

    def client(self, scope: str | None = "churn:read churn:write", customer_id: str | None = None) -> httpx.AsyncClient:
        """Somebody with a token of this scope; with none for None."""
        headers = {}
        if scope is not None:
            headers["Authorization"] = f"Bearer {issue_token(SECRET, scope, customer_id)}"
        transport = httpx.ASGITransport(self.service.app)
        return httpx.AsyncClient(transport=transport, base_url="http://churn", headers=headers)


@asynccontextmanager
async def open_churn(database: TestDatabase, now: datetime = NOW) -> AsyncIterator[Churn]:
    """The service on this database, not started: its intake, its jobs and its app are called by the tests."""
    clock = VirtualClock(now)
    surroundings = Surroundings(HOUSE, KafkaSettings(), HttpSettings(jwt_secret=SecretStr(SECRET)), clock)
    service = build(surroundings, ChurnSettings(database_url=SecretStr(database.dsn)))
    try:
        yield Churn(service, clock)
    finally:
        await service.stop()
