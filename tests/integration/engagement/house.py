"""Engagement, built as its main builds it, on a database of its own and in time that stands still."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
from pydantic import SecretStr

from services.engagement.customers.application import state_hash
from services.engagement.main import build
from services.engagement.settings import EngagementSettings
from shared.clock import VirtualClock
from shared.db import fetch
from shared.http.auth import issue_token
from shared.http.settings import HttpSettings
from shared.jobs import Job
from shared.messaging.records import Record
from shared.service import Service, Surroundings
from shared.settings import HouseSettings, KafkaSettings
from tests.kit.builders import NOW, at, record
from tests.kit.databases import TestDatabase

SECRET = "a secret of thirty-two bytes, for tests"
HOUSE = HouseSettings(currency="TWD", time_zone="Asia/Taipei")
SENDER = "shop@example.org"

_sequences = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Engagement:
    """The service under test. ``published`` reads the outbox: no relay empties it."""

    service: Service
    clock: VirtualClock

    async def take(self, *events: tuple[str, dict[str, Any]]) -> None:
        """Takes (topic, data) in, one batch."""
        await self.take_records([record(topic, data) for topic, data in events])

    async def take_records(self, records: Sequence[Record]) -> None:
        """Takes records in, one batch; nothing of them may be parked."""
        await self.service.intake.take(records)
        assert self.service.intake.counts["parked"] == 0

    async def run(self, job: str) -> int:
        """Runs a job once, as the runner does."""
        return await self.service.runner.run_once(self._job(job))

    async def next_due(self, job: str) -> datetime | None:
        return await self._job(job).next_due()

    async def work(self) -> None:
        """Plans and hands over until nothing is due at this instant."""
        for _ in range(10):
            due = [await self.next_due(job) for job in ("plan", "hand-over")]
            if all(at is None or at > self.clock.now() for at in due):
                return
            await self.run("plan")
            await self.run("hand-over")
        raise AssertionError("work stays due at one instant")

    async def pass_time(self, by: timedelta) -> None:
        """Lives through ``by``, doing what falls due at its instant."""
        end = self.clock.now() + by
        await self.work()
        while True:
            due = [await self.next_due(job) for job in ("plan", "hand-over")]
            instants = [at for at in due if at is not None and at <= end]
            if not instants:
                self.clock.set(end)
                return
            self.clock.set(min(instants))
            await self.work()

    async def contacts(self, **equal: object) -> list[dict[str, Any]]:
        """Contacts, soonest due first, whose columns equal these."""
        rows = await self.rows("SELECT * FROM contacts ORDER BY due_at, id")
        return [row for row in rows if all(row[name] == value for name, value in equal.items())]

    async def published(self, *topics: str) -> list[tuple[str, dict[str, Any]]]:
        """(topic, data) of what was announced, in its order."""
        return [
            (row["topic"], msgspec.json.decode(row["value"])["data"])
            for row in await self.rows("SELECT topic, value FROM outbox ORDER BY id")
            if not topics or row["topic"] in topics
        ]

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        async with self.service.db.transaction() as tx:
            return [dict(row) for row in await fetch(tx, sql)]

    async def state_hash(self) -> str:
        async with self.service.db.transaction() as tx:
            return await state_hash(tx)

    def client(
        self, scope: str | None = "engagement:read engagement:write", customer_id: str | None = None
    ) -> httpx.AsyncClient:
        """Somebody with a token of this scope; with none for None."""
        headers = {}
        if scope is not None:
            headers["Authorization"] = f"Bearer {issue_token(SECRET, scope, customer_id)}"
        transport = httpx.ASGITransport(self.service.app)
        return httpx.AsyncClient(transport=transport, base_url="http://engagement", headers=headers)

    def _job(self, name: str) -> Job:
        return next(job for job in self.service.runner.jobs if job.name == name)


@asynccontextmanager
async def open_engagement(
    database: TestDatabase,
    *,
    now: datetime = NOW,
    profile_url: str = "http://127.0.0.1:9",
    smtp_port: int | None = None,
) -> AsyncIterator[Engagement]:
    """The service on this database, not started: its intake, its jobs and its app are called by the tests."""
    clock = VirtualClock(now)
    surroundings = Surroundings(HOUSE, KafkaSettings(), HttpSettings(jwt_secret=SecretStr(SECRET)), clock)
    settings = EngagementSettings(
        database_url=SecretStr(database.dsn),
        profile_url=profile_url,
        smtp_host="127.0.0.1" if smtp_port else None,
        smtp_port=smtp_port or 25,
        smtp_sender=SENDER,
    )
    service = build(surroundings, settings)
    try:
        yield Engagement(service, clock)
    finally:
        await service.stop()


def at_risk(customer_id: str = "pos:1", *, days_ago: float = 0, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A customer-at-risk."""
    reason = {"code": "overdue", "text": "62 days since the last purchase; usual gap 18", "contribution": 0.4}
    return "customer-at-risk", {
        **_ours(customer_id, days_ago), "probability": 0.71, "band": "at-risk", "horizon_days": 90,
        "value_at_risk": {"amount": "1200", "currency": "TWD"}, "reasons": [reason], "model_version": "m1", **fields,
    }  # fmt: skip


def risk_lowered(customer_id: str = "pos:1", **fields: Any) -> tuple[str, dict[str, Any]]:
    """A risk-lowered."""
    return "risk-lowered", {
        **_ours(customer_id, 0), "from_band": "at-risk", "to_band": "low", "cause": "rescored", "probability": 0.2,
        "model_version": "m1", **fields,
    }  # fmt: skip


def registered(customer_id: str = "pos:1", *, days_ago: float = 0, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A customer-registered."""
    return "customer-registered", {**_ours(customer_id, days_ago), **fields}


def changed(customer_id: str = "pos:1", *, days_ago: float = 0, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A customer-changed."""
    return "customer-changed", {**_ours(customer_id, days_ago), **fields}


def consent(customer_id: str = "pos:1", **fields: Any) -> tuple[str, dict[str, Any]]:
    """A consent-changed: e-mail for marketing unless said otherwise."""
    given = {"channel": "email", "purpose": "marketing", "granted": True, **fields}
    return "consent-changed", {**_ours(customer_id, 0), **given}


def complaint(customer_id: str = "pos:1", feedback_id: str = "f-1", **fields: Any) -> tuple[str, dict[str, Any]]:
    """A feedback-received of kind complaint."""
    given = {"channel": "web", "kind": "complaint", "occurred_at": at(0), **fields}
    return "feedback-received", {"customer_id": customer_id, "feedback_id": feedback_id, **given}


def _ours(customer_id: str, days_ago: float) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "sequence": next(_sequences),
        "caused_by": {"source": "/shop/tw", "id": "x"},
        "occurred_at": at(days_ago),
    }


def merged(from_id: str, into_id: str, *, version: int = 1, merge_id: str = "m") -> tuple[str, dict[str, Any]]:
    """A customer-merged; of an even version the customer-unmerged that takes it back."""
    return "customer-unmerged" if version % 2 == 0 else "customer-merged", {
        **_ours(into_id, 0), "merge_id": merge_id, "version": version, "from_id": from_id, "into_id": into_id,
    }  # fmt: skip
