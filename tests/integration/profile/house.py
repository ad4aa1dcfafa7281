"""Profile, whole, over a fresh database: fed with records as the consumer would, and asked over HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from pydantic import SecretStr

from services.profile.customers.application import Customers
from services.profile.main import build
from services.profile.overview.application import Overviews
from services.profile.purchases.domain import House
from services.profile.settings import ProfileSettings
from services.profile.vault.application import Vault
from shared.clock import Clock, VirtualClock
from shared.db import fetch
from shared.http.auth import issue_token
from shared.http.settings import HttpSettings
from shared.messaging.records import Record
from shared.service import Service, Surroundings
from shared.settings import HouseSettings, KafkaSettings
from tests.kit.databases import TestDatabase

SECRET = "a secret of the tests, long enough"
MASTER_KEY = "a master key of the tests, long enough"


@dataclass(slots=True)
class Profile:
    """The service with a clock that stands still, and a client with an admin's token."""

    service: Service
    clock: VirtualClock
    client: httpx.AsyncClient

    async def take(self, *records: Record) -> None:
        """Applies records as one batch."""
        await self.service.intake.take(records)

    async def view(self, customer_id: str) -> dict[str, Any]:
        """The 360° view."""
        answer = await self.client.get(f"/customers/{customer_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def state_hash(self) -> str:
        """Of everything, at the clock's now."""
        house = HouseSettings()
        customers = Customers(self.clock, "TW", Vault(self.service.db, [MASTER_KEY]))
        overviews = Overviews(customers, House(house.currency, house.time_zone), self.clock)
        async with self.service.db.transaction() as tx:
            return await overviews.state_hash(tx)

    async def published(self, topic: str | None = None) -> list[dict[str, Any]]:
        """What waits in the outbox, in order."""
        async with self.service.db.transaction() as tx:
            rows = await fetch(tx, "SELECT topic, key, value, headers FROM outbox ORDER BY id")
        return [
            {**dict(row), "event": msgspec.json.decode(row["value"])}
            for row in rows
            if topic is None or row["topic"] == topic
        ]


def token(scope: str = "admin", customer_id: str | None = None) -> dict[str, str]:
    """Headers with a token."""
    return {"Authorization": f"Bearer {issue_token(SECRET, scope, customer_id)}"}


def profile_over(database: TestDatabase, clock: Clock) -> Service:
    """The service as ``main`` builds it."""
    surroundings = Surroundings(HouseSettings(), KafkaSettings(), HttpSettings(jwt_secret=SecretStr(SECRET)), clock)
    return build(surroundings, ProfileSettings(database_url=SecretStr(database.dsn), master_key=SecretStr(MASTER_KEY)))


def in_batches(records: Sequence[Record], size: int) -> list[Sequence[Record]]:
    """The records in batches of a size."""
    return [records[start : start + size] for start in range(0, len(records), size)]
