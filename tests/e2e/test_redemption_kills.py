"""Loyalty is killed in the middle of many redemptions: whoever asks again with his key has what he asked for, once."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.ports import free_port
from deploy.local.process import spawn
from shared.contracts.topics import TOPICS
from shared.db import fetch
from shared.http.auth import issue_token
from shared.messaging import kafka
from shared.settings import KafkaSettings
from tests.integration.loyalty.shop import SECRET, open_shop
from tests.kit.builders import purchase, record
from tests.kit.databases import TestDatabase, opened
from tests.kit.waiting import until

SERVICE = "loyalty"
SPENT = "points-spent"
WHO = f"k-{uuid4().hex[:8]}:"
ROOT = Path(__file__).resolve().parents[2]
REDEMPTIONS = int(os.environ.get("ROOST_TEST_REDEMPTIONS", "200"))
EACH = 5
CUSTOMERS = REDEMPTIONS // EACH
DEATHS = max(2, REDEMPTIONS // 100)
BALANCE = 100
POINTS = (15, 20, 25, 30)
"""What is asked for, by turns: of five askings the last are more than there is."""
PRICE, STOCK = 20, max(1, REDEMPTIONS // 8)


@dataclass(slots=True)
class Loyalty:
    """The service as a process, which dies and comes back at one address."""

    environment: dict[str, str]
    url: str
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    alive: asyncio.Event = field(default_factory=asyncio.Event)
    dead: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Until it answers."""
        command = [sys.executable, "-m", "deploy.cli", "serve", SERVICE]
        self.process = spawn(command, log=self.log, environment=self.environment)
        async with httpx.AsyncClient(base_url=self.url) as http:

            async def answers() -> bool:
                assert self.process is not None
                assert self.process.poll() is None, self.log.read_text()[-2000:]
                with suppress(httpx.TransportError):
                    return (await http.get("/health/live")).is_success
                return False

            await until(answers, 60, what="loyalty answers")
        self.dead.clear()
        self.alive.set()

    def die(self) -> None:
        """At once, whatever it is doing."""
        assert self.process is not None
        self.alive.clear()
        self.process.kill()
        self.process.wait()
        self.dead.set()

    async def stop(self) -> None:
        """As it is stopped by who means well."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.process.wait, 60)
        assert self.process.returncode == 0, self.log.read_text()[-2000:]


@dataclass(slots=True)
class Redeeming:
    """One redemption that a client wants, and what he was answered in the end."""

    number: int
    customer: str
    body: dict[str, Any]
    held: bool
    answers: dict[str, httpx.Response] = field(default_factory=dict)

    @property
    def redeemed(self) -> Any:
        """The redemption, None where it was refused."""
        last = list(self.answers.values())[-1]
        return last.json() if last.status_code == 201 and "redeemed_at" in last.json() else None

    async def ask(self, clients: "Clients") -> None:
        """All at once, or quote, hold and commit; up to the first refusal."""
        if not self.held:
            await self._send(clients, "/redemptions", self.body)
        elif (quote := await self._send(clients, "/quotes", self.body)) and (
            hold := await self._send(clients, "/holds", {"quote_id": quote["id"], "ttl": 86_400})
        ):
            await self._send(clients, f"/holds/{hold['id']}/commit", {})

    async def _send(self, clients: "Clients", path: str, body: Any) -> Any:
        step = path.rpartition("/")[2]
        self.answers[step] = answer = await clients.answered(path, body, f"{self.number}-{step}")
        assert answer.status_code in (201, 409), answer.text
        return answer.json() if answer.status_code == 201 else None


@dataclass(slots=True)
class Clients:
    """Those who ask, each request with its key, until there is an answer; ``deaths``: after how many of them."""

    loyalty: Loyalty
    http: httpx.AsyncClient
    deaths: list[int]
    unanswered: int = 0
    recovered: int = 0
    done: int = 0

    async def answered(self, path: str, body: Any, key: str) -> httpx.Response:
        """The answer, after however many deaths."""
        tries = 0

        async def attempt() -> httpx.Response | None:
            nonlocal tries
            await self.loyalty.alive.wait()
            tries += 1
            try:
                answer = await self.http.post(path, json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                self.unanswered += 1
                return None
            # Until PostgreSQL has noticed that the dead one is gone, his transaction has the key.
            return None if answer.json().get("code") == "idempotency-in-progress" else answer

        answer = await until(attempt, 300, what=f"{path} with {key}")
        assert answer is not None
        self.recovered += tries > 1 and answer.headers.get("Idempotency-Replayed") == "true"
        return answer

    async def ask(self, wanted: Redeeming) -> None:
        await wanted.ask(self)
        self.done += 1
        if self.deaths and self.done >= self.deaths[0] and self.loyalty.alive.is_set():
            del self.deaths[0]
            self.loyalty.die()


@asynccontextmanager
async def clients_of(loyalty: Loyalty) -> AsyncIterator[Clients]:
    headers = {"Authorization": f"Bearer {issue_token(SECRET, 'loyalty:read loyalty:write')}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=REDEMPTIONS)
    async with httpx.AsyncClient(base_url=loyalty.url, headers=headers, timeout=120, limits=limits) as http:
        yield Clients(loyalty, http, [n * REDEMPTIONS // (DEATHS + 1) for n in range(1, DEATHS + 1)])


@pytest_asyncio.fixture
async def loyalty(
    test_database: TestDatabase, kafka_settings: KafkaSettings, tmp_path: Path
) -> AsyncIterator[Loyalty]:
    await kafka.create_topics(kafka_settings)
    port = free_port()
    environment = {
        "PYTHONPATH": str(ROOT),
        "ROOST_PORT": str(port),
        "ROOST_HTTP_JWT_SECRET": SECRET,
        "LOYALTY_DATABASE_URL": test_database.dsn,
        "ROOST_KAFKA_BOOTSTRAP_SERVERS": kafka_settings.bootstrap_servers,
        "ROOST_KAFKA_ENABLE_IDEMPOTENCE": str(kafka_settings.enable_idempotence),
        "ROOST_KAFKA_SESSION_TIMEOUT_MS": str(kafka_settings.session_timeout_ms),
    }
    made = Loyalty(environment, f"http://127.0.0.1:{port}", tmp_path / "loyalty.log")
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.process.kill()
            made.process.wait()


async def furnish(database: TestDatabase) -> str:
    """Customers with points that nothing will change by itself, and a reward; its id."""
    now = datetime.now(UTC)
    bought = (now - timedelta(days=30)).isoformat()
    async with open_shop(database, now) as shop, shop.client("loyalty:write") as staff:
        ids, total = [f"{WHO}{n}" for n in range(CUSTOMERS)], str(10 * BALANCE)
        orders = [purchase(one, one, occurred_at=bought, total=total) for one in ids]
        await shop.take(*(record("purchase-recorded", order, id=f"bought-{order['order_id']}") for order in orders))
        coupon = {"percent": "10", "valid_days": 30}
        reward = {"name": "Tenner", "kind": "coupon", "points": PRICE, "stock": STOCK, "coupon": coupon}
        answer = await staff.post("/rewards", json=reward, headers={"Idempotency-Key": "reward"})
        return str(answer.json()["id"])


def wishes(reward: str) -> list[Redeeming]:
    """Of each customer five: points and the reward, at once and by holds."""
    return [
        Redeeming(
            number=n,
            customer=(customer := f"{WHO}{n % CUSTOMERS}"),
            body={"customer_id": customer}
            | ({"reward_id": reward} if n % 3 == 2 else {"points": POINTS[n % len(POINTS)]}),
            held=n // CUSTOMERS % 2 == 1,
        )
        for n in range(REDEMPTIONS)
    ]


async def test_killed_in_the_middle_of_many_redemptions_each_key_has_one_and_the_books_are_whole(
    loyalty: Loyalty, test_database: TestDatabase, kafka_settings: KafkaSettings
) -> None:
    reward = await furnish(test_database)
    wanted = wishes(reward)
    await loyalty.start()
    async with clients_of(loyalty) as clients:
        async with asyncio.TaskGroup() as group:
            for one in wanted:
                group.create_task(clients.ask(one))
            for _ in range(DEATHS):
                async with asyncio.timeout(120):
                    await loyalty.dead.wait()
                await loyalty.start()
        assert clients.unanswered >= DEATHS, "nobody was waiting when it died"
        done = [one for one in wanted if one.redeemed]
        assert 0 < len(done) < len(wanted), "some were refused, and some not"
        await expect_same_answers(clients, wanted)
        await expect_whole(clients, reward, done, wanted)
        await expect_told_once(test_database, kafka_settings, done)
        # It takes its own word in again, and nothing comes of it.
        await expect_whole(clients, reward, done, wanted)
    await loyalty.stop()
    print(
        f"\n{REDEMPTIONS} redemptions, {DEATHS} deaths: {len(done)} redeemed, {REDEMPTIONS - len(done)} refused; "
        f"{clients.unanswered} requests unanswered, {clients.recovered} had had their effect"
    )


async def expect_same_answers(clients: Clients, wanted: Sequence[Redeeming]) -> None:
    """To everything that is sent once more."""
    again = [Redeeming(one.number, one.customer, one.body, one.held) for one in wanted]
    await asyncio.gather(*(one.ask(clients) for one in again))
    for before, after in zip(wanted, again, strict=True):
        assert list(before.answers) == list(after.answers)
        for step, answer in after.answers.items():
            assert answer.status_code == before.answers[step].status_code, answer.text
            if answer.status_code == 201:
                assert answer.json()["id"] == before.answers[step].json()["id"]
                assert answer.headers["Idempotency-Replayed"] == "true"


async def expect_whole(
    clients: Clients, reward: str, done: Sequence[Redeeming], wanted: Sequence[Redeeming]
) -> None:
    """The proof, and what each customer has: what he had, less what he was told that he used."""
    proof = await found(clients, "/ledger/verification")
    assert proof["ok"]
    assert (proof["books"]["redeemed"], proof["books"]["held"]) == (sum(one.redeemed["points"] for one in done), 0)
    for customer in sorted({one.customer for one in wanted}):
        told = {one.redeemed["id"]: one.redeemed["points"] for one in done if one.customer == customer}
        listed = (await found(clients, f"/accounts/{customer}/redemptions"))["items"]
        assert {one["id"]: one["points"] for one in listed} == told
        account = await found(clients, f"/accounts/{customer}")
        assert (account["held"], account["pending"], account["debt"]) == (0, 0, 0)
        assert account["available"] == BALANCE - sum(told.values()) >= 0
    taken = [one for one in done if one.redeemed["reward_id"]]
    assert len({one.redeemed["coupon_code"] for one in taken} - {None}) == len(taken)
    assert (await found(clients, f"/rewards/{reward}"))["stock_left"] == STOCK - len(taken)


async def found(clients: Clients, path: str) -> Any:
    answer = await clients.http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def expect_told_once(database: TestDatabase, settings: KafkaSettings, done: Sequence[Redeeming]) -> None:
    """Of each redemption one event under one id, of each customer numbered without a gap, all on their topics; and the
    service has read its own word again."""
    async with opened(database) as db:

        async def told() -> bool:
            async with db.transaction() as tx:
                return not await fetch(tx, "SELECT 1 FROM outbox LIMIT 1")

        await until(told, 60, what="everything is published")

    async def read() -> bool:
        group = kafka.group_of(SERVICE)
        found = (await kafka.committed_and_end(settings, {group: ("points-spent",)}))[group]
        return all(committed == end for committed, end in found.values())

    await until(read, 60, what="its own events are taken in again")
    events = {event["id"]: (topic, event["data"]) for topic, event in await published(settings)}
    spends = Counter((data["redemption_id"], data["points"]) for topic, data in events.values() if topic == SPENT)
    assert spends == Counter((one.redeemed["id"], one.redeemed["points"]) for one in done)
    rewards = Counter(data["redemption_id"] for topic, data in events.values() if topic == "reward-redeemed")
    assert rewards == Counter(one.redeemed["id"] for one in done if one.redeemed["reward_id"])
    numbers: dict[str, list[int]] = {}
    for _, data in events.values():
        numbers.setdefault(data["customer_id"], []).append(data["sequence"])
    assert len(numbers) == CUSTOMERS
    assert all(sorted(found) == list(range(1, len(found) + 1)) for found in numbers.values())


async def published(settings: KafkaSettings) -> list[tuple[str, Any]]:
    """Everything that loyalty said of our customers, with its topic, as often as it was sent."""
    topics = [topic.name for topic in TOPICS.values() if SERVICE in topic.publishers]
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    reader = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers, fetch_max_wait_ms=50)
    found: list[tuple[str, Any]] = []
    await admin.start()
    await reader.start()
    try:
        reached = await kafka.ends(reader, await kafka.places_of(admin, topics))
        await reader.seek_to_beginning(*reached)
        left = {place for place, end in reached.items() if end}
        async with asyncio.timeout(60):
            while left:
                for place, records in (await reader.getmany(timeout_ms=100)).items():
                    found += [(place.topic, msgspec.json.decode(one.value)) for one in records if ours(one.key)]
                left = {place for place in left if await reader.position(place) < reached[place]}
    finally:
        await admin.close()
        await reader.stop()
    return found


def ours(key: bytes | None) -> bool:
    return key is not None and key.startswith(WHO.encode())
