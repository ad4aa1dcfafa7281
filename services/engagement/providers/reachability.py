"""The one question engagement asks another service: profile's addresses and consents, at hand-off."""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Callable, Sequence

import httpx
import msgspec
import structlog

from services.engagement.contacts.gates import Reach
from shared.contracts.customers import ContactChannel, Purpose

log = structlog.get_logger()

DEADLINE_SECONDS = 2.0
MOST_ITEMS = 500

Asked = tuple[str, ContactChannel, Purpose]


class _Item(msgspec.Struct, frozen=True):
    customer_id: str
    channel: str
    consent: bool
    address: str | None = None
    locale: str | None = None
    time_zone: str | None = None
    name: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    items: list[_Item]


_decoder = msgspec.json.Decoder(_Answer)


class Reachability:
    """Asks ``POST {profile_url}/internal/reachability``; ``token`` makes a bearer token of scope ``internal``."""

    def __init__(self, profile_url: str, token: Callable[[], str]) -> None:
        self._url = profile_url.rstrip("/") + "/internal/reachability"
        self._token = token
        self._tls: ssl.SSLContext | bool = ssl.create_default_context() if self._url.startswith("https") else False

    async def ask(self, asked: Sequence[Asked]) -> dict[Asked, Reach]:
        """What profile answers, in batches of up to 500 a purpose; without an answer within 2 s, nothing of a batch."""
        by_purpose: dict[Purpose, list[Asked]] = defaultdict(list)
        for item in asked:
            by_purpose[item[2]].append(item)
        found: dict[Asked, Reach] = {}
        async with httpx.AsyncClient(verify=self._tls, trust_env=False) as client:
            for purpose, items in by_purpose.items():
                for start in range(0, len(items), MOST_ITEMS):
                    found |= await self._batch(client, purpose, items[start : start + MOST_ITEMS])
        return found

    async def _batch(
        self, client: httpx.AsyncClient, purpose: Purpose, items: Sequence[Asked]
    ) -> dict[Asked, Reach]:
        body = {
            "purpose": purpose,
            "items": [{"customer_id": customer, "channel": channel} for customer, channel, _ in items],
        }
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                answer = await client.post(
                    self._url, json=body, headers={"authorization": f"Bearer {self._token()}"}, timeout=DEADLINE_SECONDS
                )
            answer.raise_for_status()
            answered = _decoder.decode(answer.content).items
        except (httpx.HTTPError, TimeoutError, msgspec.DecodeError) as error:
            log.warning("no answer", action="reachability.unanswered", error=type(error).__name__, items=len(items))
            return {}
        known = {(item.customer_id, item.channel): item for item in answered}
        return {
            ask: Reach(item.address, item.consent, item.name, item.locale)
            for ask in items
            if (item := known.get(ask[:2])) is not None
        }
