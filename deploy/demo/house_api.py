"""The services' own HTTP APIs, as the report reads them: typed answers, lists page by page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Generic, TypeVar

import httpx
import msgspec

from shared.contracts.types import Money, Scalar

T = TypeVar("T")
PAGE = 200


class Reason(msgspec.Struct, frozen=True):
    """Why churn thinks so, in words."""

    text: str


class AtRisk(msgspec.Struct, frozen=True):
    """A customer of ``GET /churn/at-risk``."""

    customer_id: str
    probability: float
    band: str
    value_at_risk: Money
    reasons: tuple[Reason, ...]


class Contact(msgspec.Struct, frozen=True):
    """A contact of ``GET /engagement/contacts``."""

    customer_id: str
    purpose: str
    channel: str
    due_at: datetime


class Entry(msgspec.Struct, frozen=True):
    """A fact of ``GET /profile/customers/{id}/timeline``; ``data`` is the event's own."""

    kind: str
    occurred_at: datetime
    data: msgspec.Raw = msgspec.Raw(b"{}")


class Value(msgspec.Struct, frozen=True):
    """What the 360° view says a customer is worth."""

    lifetime_spend: Money
    order_count: int


class Customer(msgspec.Struct, frozen=True):
    """The part of the 360° view that the report shows."""

    customer_id: str
    value: Value
    lifecycle: str


class Tier(msgspec.Struct, frozen=True):
    """A tier by name; ``null`` without one."""

    name: str | None = None


class Account(msgspec.Struct, frozen=True):
    """A loyalty account."""

    available: int
    pending: int
    lifetime_earned: int
    tier: Tier | None = None


class Verification(msgspec.Struct, frozen=True):
    """What the check of the whole ledger found."""

    ok: bool = False
    entries: int = 0


class _Page(msgspec.Struct, Generic[T], frozen=True):
    items: list[T]
    next_cursor: str | None = None


class HouseApi:
    """Reads of a running system, as admin."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, path: str, type: type[T], **params: Scalar) -> T:
        """The answer at ``path``. Raises httpx.HTTPStatusError, and msgspec.ValidationError for another shape."""
        response = (await self._client.get(path, params=params)).raise_for_status()
        return msgspec.json.decode(response.content, type=type)

    async def post(self, path: str) -> bool:
        """A command without a body; False when it is refused as things stand (409). Raises httpx.HTTPStatusError."""
        response = await self._client.post(path)
        return response.status_code != 409 and response.raise_for_status().is_success

    async def pages(self, path: str, type: type[T], **params: Scalar) -> list[T]:
        """Every item of a list."""
        found: list[T] = []
        cursor: dict[str, Scalar] = {}
        while True:
            page: _Page[T] = await self.get(path, _Page[type], limit=PAGE, **params, **cursor)  # type: ignore[valid-type]
            found += page.items
            if page.next_cursor is None:
                return found
            cursor = {"cursor": page.next_cursor}

    async def verified(self) -> Verification:
        """Whether the ledger sums to zero and its chain is intact; a broken one answers 409, which is an answer."""
        response = await self._client.get("/loyalty/ledger/verification")
        if response.status_code == 409:
            return Verification()
        return msgspec.json.decode(response.raise_for_status().content, type=Verification)


@asynccontextmanager
async def connected(url: str, token: str) -> AsyncIterator[HouseApi]:
    """The APIs behind the gateway at ``url``."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        yield HouseApi(client)
