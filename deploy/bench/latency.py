"""From publishing a purchase to seeing it in the customer's account, at a steady rate."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import httpx
import numpy as np

from deploy.bench.purchases import SOURCE, Purchase, purchase
from deploy.bench.together import Running, calm
from shared.messaging import kafka
from shared.settings import KafkaSettings

PER_SECOND = 100
LOOK_SECONDS = 0.005
LATEST_SECONDS = 30.0
CALM_SECONDS = 60.0
# Inbox and account are written by one transaction: who sees the one sees the other.
_SEEN = "SELECT i.id FROM inbox i JOIN unnest($1::text[]) AS wanted (id) USING (id) WHERE i.source = $2"


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds."""

    p50_ms: float
    p99_ms: float


async def measure(running: Running, seconds: float) -> Latency:
    """Every purchase is by a customer whom nobody knows yet, seen when loyalty's database shows it to others.

    It begins when the customers of a load before have been placed in their segments: a rush puts that off.

    Asking loyalty over HTTP a thousand times a second would measure that instead; its API is asked at the end.
    Raises TimeoutError for a purchase that stays away, httpx.HTTPStatusError for an account that isn't there.
    """
    await _until_calm(running)
    now = datetime.now(UTC)
    count = round(seconds * PER_SECOND)
    sent = [purchase(f"late:{n}", f"late:{n}", now, [n, 7 * n, 11 * n, 13 * n]) for n in range(count)]
    waiting: dict[str, float] = {}
    publishing = asyncio.create_task(_publish(running.kafka, sent, waiting), name="bench.publish")
    taken = await _look(running.dsns["loyalty"], waiting, count)
    await publishing
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {running.token}"}) as client:
        for each in sent[::PER_SECOND]:
            (await client.get(f"{running.url}/loyalty/accounts/{each.customer_id}")).raise_for_status()
    p50, p99 = np.percentile(taken, [50, 99]) * 1000
    return Latency(float(p50), float(p99))


async def _until_calm(running: Running) -> None:
    deadline = time.monotonic() + CALM_SECONDS
    while time.monotonic() < deadline:
        if await calm(running):
            return
        await asyncio.sleep(LOOK_SECONDS)
    raise TimeoutError(f"customers wait for their segments after {CALM_SECONDS:.0f} s")


async def _publish(settings: KafkaSettings, purchases: Sequence[Purchase], waiting: dict[str, float]) -> None:
    producer = kafka.producer(settings)
    await producer.start()
    try:
        began = time.perf_counter()
        for n, each in enumerate(purchases):
            await asyncio.sleep(max(0.0, began + n / PER_SECOND - time.perf_counter()))
            waiting[each.event_id] = time.perf_counter()
            await producer.send("purchase-recorded", key=each.key, value=each.value)
        await producer.flush()
    finally:
        await producer.stop()


async def _look(dsn: str, waiting: dict[str, float], count: int) -> list[float]:
    """The seconds that each of ``count`` purchases took."""
    deadline = time.monotonic() + count / PER_SECOND + LATEST_SECONDS
    taken: list[float] = []
    connection = await asyncpg.connect(dsn)
    try:
        while len(taken) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{count - len(taken)} of {count} purchases did not reach the account")
            rows = await connection.fetch(_SEEN, list(waiting), SOURCE)
            now = time.perf_counter()
            taken += [now - waiting.pop(row["id"]) for row in rows]
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await connection.close()
    return taken
