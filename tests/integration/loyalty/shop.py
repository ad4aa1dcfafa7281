"""Loyalty, built as its main builds it, on a database of its own and in time that moves when it is told to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import msgspec
from pydantic import SecretStr

from services.loyalty.accounts.application import Accounts
from services.loyalty.accounts.state import state_hash
from services.loyalty.earning.application import Earning
from services.loyalty.ledger import reading
from services.loyalty.ledger.reading import Balance
from services.loyalty.ledger.verification import Verification, verify
from services.loyalty.main import build
from services.loyalty.programmes.application import Programmes
from services.loyalty.settings import LoyaltySettings
from shared.clock import VirtualClock
from shared.db import Database, fetch
from shared.http.auth import issue_token
from shared.http.settings import HttpSettings
from shared.jobs import Job
from shared.messaging.intake import Intake
from shared.messaging.records import Record
from shared.service import Service, Surroundings
from shared.settings import HouseSettings, KafkaSettings
from tests.kit.builders import NOW
from tests.kit.databases import TestDatabase

SECRET = "a secret of thirty-two bytes, for tests"
HOUSE = HouseSettings(currency="TWD", time_zone="Asia/Taipei")


@dataclass(frozen=True, slots=True)
class Shop:
    """The service under test. ``published`` reads the outbox: no relay empties it."""

    service: Service
    clock: VirtualClock
    programmes: Programmes
    accounts: Accounts

    @property
    def db(self) -> Database:
        return self.service.db

    @property
    def intake(self) -> Intake:
        return self.service.intake

    def job(self, name: str) -> Job:
        """One of the service's jobs."""
        return next(job for job in self.service.runner.jobs if job.name == name)

    def client(self, scope: str | None = "loyalty:read", customer_id: str | None = None) -> httpx.AsyncClient:
        """Somebody with a token of this scope; with none for None."""
        headers = {}
        if scope is not None:
            headers["Authorization"] = f"Bearer {issue_token(SECRET, scope, customer_id)}"
        transport = httpx.ASGITransport(self.service.app)
        return httpx.AsyncClient(transport=transport, base_url="http://loyalty", headers=headers)

    async def take(self, *records: Record) -> None:
        """One batch."""
        await self.intake.take(records)
        assert not self.intake.counts["parked"], "nothing fails unexpectedly"

    async def post(self, **changes: Any) -> int:
        """A programme version like the first one but for the changes; its number."""
        async with self.db.transaction() as tx:
            body = (await self.programmes.one(tx, 1)).body if await self.programmes.known(tx) else {}
            return (await self.programmes.post(tx, {**body, **changes})).version

    async def balance(self, customer: str, at: datetime | None = None) -> Balance:
        """A customer's balance."""
        async with self.db.transaction() as tx:
            holder = await reading.holder_of(tx, customer)
            assert holder.accounts, f"loyalty has never heard of {customer}"
            return await reading.balance_at(tx, holder.accounts, at or self.clock.now())

    async def tier(self, customer: str) -> str | None:
        """The name of the tier held now."""
        async with self.db.transaction() as tx:
            holder = await reading.holder_of(tx, customer)
            assert holder.accounts, f"loyalty has never heard of {customer}"
            standing = (await self.accounts.view(tx, holder)).standing
            return standing.name if standing else None

    async def state_hash(self) -> str:
        """The hash of everything that arrival must not matter to."""
        async with self.db.transaction() as tx:
            return await state_hash(tx, self.programmes, self.clock.now())

    async def verified(self) -> Verification:
        """The ledger's proof."""
        return await verify(self.db)

    async def published(self, *topics: str) -> list[dict[str, Any]]:
        """The data of what waits in the outbox, of these topics, each with its topic."""
        async with self.db.transaction() as tx:
            rows = await fetch(tx, "SELECT topic, value FROM outbox ORDER BY id")
        found = [{**msgspec.json.decode(row["value"])["data"], "topic": row["topic"]} for row in rows]
        return [data for data in found if data["topic"] in topics]

    async def live_until(self, at: datetime) -> None:
        """Moves the clock to ``at``, doing on the way what falls due, when it falls due."""
        while due := await self._next(at):
            self.clock.set(max(due, self.clock.now()))
            for job in self.service.runner.jobs:
                await job.run()
        self.clock.set(at)

    async def _next(self, until: datetime) -> datetime | None:
        dues = [await job.next_due() for job in self.service.runner.jobs]
        return min((due for due in dues if due is not None and due <= until), default=None)


@asynccontextmanager
async def open_shop(database: TestDatabase, now: datetime = NOW) -> AsyncIterator[Shop]:
    """The service on this database, not started: its intake, its jobs and its app are called by the tests."""
    clock = VirtualClock(now)
    surroundings = Surroundings(HOUSE, KafkaSettings(), HttpSettings(jwt_secret=SecretStr(SECRET)), clock)
    service = build(surroundings, LoyaltySettings(database_url=SecretStr(database.dsn)))
    programmes = Programmes(clock, HOUSE.currency, HOUSE.zone)
    try:
        yield Shop(service, clock, programmes, Accounts(clock, programmes, Earning(clock, programmes, HOUSE.zone)))
    finally:
        await service.stop()
