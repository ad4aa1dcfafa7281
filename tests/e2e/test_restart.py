"""``./roost up`` as a user runs it: what it says, how it stops, and what a kill -9 leaves behind."""

import asyncio
import json
import os
import random
import re
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest
import pytest_asyncio

from shared.contracts.topics import SERVICES
from shared.db import Database
from shared.messaging import kafka
from shared.settings import KafkaSettings
from tests.kit import infra
from tests.kit.builders import cloud_event, purchase, record
from tests.kit.scanning import places_of
from tests.kit.system import answer
from tests.kit.waiting import until

ROOT = Path(__file__).resolve().parents[2]
BROKER = "kafka" if infra.kind() == "kafka" else "tansu"
START = datetime.fromisoformat("2026-11-22T09:00:00+08:00")
CUSTOMERS, ORDERS = 100, 8
KILLS = int(os.environ.get("ROOST_TEST_KILLS", "1"))
PLANTED, EMAIL = "Planted Forgetme", ".forgetme@example.com"


@dataclass(slots=True)
class Up:
    """A ``./roost up`` that is ready: what it said first, and the processes it has."""

    process: Process
    said: dict[str, str]
    family: list[psutil.Process]

    @property
    def data(self) -> str:
        return self.said["data_dir"]

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.said["url"], headers={"Authorization": f"Bearer {self.said['token']}"}, timeout=60
        )

    async def stop(self, by: signal.Signals) -> tuple[int | None, float]:
        """Its exit code, and how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(by)
        async with asyncio.timeout(60):
            await self.process.wait()
        return self.process.returncode, time.monotonic() - began

    async def until_gone(self, seconds: float) -> None:
        """Waits until none of its processes runs."""

        async def gone() -> bool:
            return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in self.family)

        await until(gone, seconds, what=f"the end of {self.family}")


@asynccontextmanager
async def up(data: Path, *options: str, **environment: str) -> AsyncIterator[Up]:
    """The system on a data directory, killed at the end if the test doesn't stop it."""
    command = (str(ROOT / "roost"), "up", "--json", "--port", "0", "--data", str(data), "--broker", BROKER, *options)
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **environment}, stdout=PIPE, stderr=DEVNULL
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(120):
            said = json.loads(await process.stdout.readline())
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        yield Up(process, said, family)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def roost(*arguments: str) -> tuple[int | None, str, str]:
    """A ``./roost …`` that ends: its exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        str(ROOT / "roost"), *arguments, env={**os.environ, "COLUMNS": "250"}, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest_asyncio.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Up]:
    """One in virtual time, which the tests of commands share."""
    async with up(tmp_path_factory.mktemp("up") / "roost", "--clock", START.isoformat()) as running:
        yield running


async def test_the_first_line_of_stdout_tells_other_programs_how_to_drive_it(system: Up) -> None:
    assert system.said.keys() == {"url", "bootstrap_servers", "postgres", "token", "data_dir"}
    async with system.client() as http:
        assert (await answer(http, "/clock"))["now"] == START.astimezone(UTC).isoformat().replace("+00:00", "Z")
        assert (await http.get("/health/ready")).status_code == 200


async def test_a_second_instance_on_the_same_directory_is_refused_by_pid(system: Up) -> None:
    code, out, err = await roost("up", "--json", "--port", "0", "--data", system.data)
    assert (code, out) == (1, "")
    assert str(system.process.pid) in err
    assert "Traceback" not in err


async def test_status_and_token_speak_with_the_running_system(system: Up) -> None:
    code, out, _ = await roost("status", "--json", "--data", system.data)
    assert code == 0
    assert json.loads(out)["services"].keys() == set(SERVICES)
    code, out, _ = await roost("token", "--scope", "profile:read", "--data", system.data)
    assert code == 0
    async with httpx.AsyncClient(base_url=system.said["url"]) as http:
        headers = {"Authorization": f"Bearer {out.strip()}"}
        assert (await http.get("/profile/customers", headers=headers)).status_code == 200
        assert (await http.get("/loyalty/programmes", headers=headers)).status_code == 403
    code, out, err = await roost("export", "nobody:1", "--data", system.data)
    assert (code, out, "nothing is held of nobody:1" in err) == (1, "", True)
    async with system.client() as http:
        assert (await http.post("/profile/customers", json={"customer_id": "export:1"})).status_code == 201
    code, out, _ = await roost("export", "export:1", "--data", system.data)
    assert (code, json.loads(out)["profile"]["customer_ids"]) == (0, ["export:1"])


async def test_commands_without_a_running_system_say_how_to_start_one(tmp_path: Path) -> None:
    code, _, err = await roost("status", "--data", str(tmp_path / "nobody"))
    assert code == 2
    assert "./roost up" in err
    assert "Traceback" not in err


async def test_dead_letters_are_listed_and_replayed_once_their_fault_is_gone(system: Up) -> None:
    too_early = purchase("dl:1", "dl:1-1", occurred_at=(START + timedelta(days=2)).isoformat())
    await send(system, [record("purchase-recorded", too_early)])
    async with system.client() as http:

        async def in_every_service() -> bool:
            found = [await answer(http, f"/{name}/dead-letters") for name in SERVICES]
            return all(len(page["items"]) == 1 for page in found)

        await until(in_every_service, 60, what="a dead letter in every service")
        code, out, _ = await roost("dead-letters", "list", "--data", system.data)
        assert code == 0
        assert all(re.search(rf"{name}.*purchase-recorded.*/time", out) for name in SERVICES), out
        code, out, _ = await roost("dead-letters", "replay", "--data", system.data)
        assert code == 1, "it still lies ahead"
        assert out.count("still-invalid") == len(SERVICES)
        assert (await http.post("/clock/advance", json={"by": "P2D"})).status_code == 200
        code, out, err = await roost("dead-letters", "replay", "--data", system.data)
        assert (code, out.count("applied")) == (0, len(SERVICES)), err
        assert (await answer(http, "/loyalty/accounts/dl:1"))["pending"] == 10
        for name in SERVICES:
            assert (await answer(http, f"/{name}/dead-letters"))["items"] == []


async def test_sigterm_stops_it_cleanly_with_all_its_processes(system: Up) -> None:
    assert len(system.family) > 2, "PostgreSQL and a broker belong to it"
    code, seconds = await system.stop(signal.SIGTERM)
    assert code == 0
    assert seconds < 15
    await system.until_gone(1)


async def test_kills_in_the_middle_lose_and_double_nothing_beside_another_system(tmp_path: Path) -> None:
    """Purchases, a merge and an erasure are on their way at each kill; ``ROOST_TEST_KILLS`` has more than one."""
    events, asked = history(), []
    async with (
        up(tmp_path / "killed", ROOST_KAFKA_MAX_RECORDS="20") as killed,
        up(tmp_path / "beside") as beside,
        killed.client() as http,
    ):
        assert killed.said["url"] != beside.said["url"]
        taken = await http.post("/profile/events", json=events)
        assert (taken.status_code, taken.json()["accepted"]) == (202, len(events)), taken.text
        asked.append(await ask(http, 0))

        async def half_way() -> bool:
            return 0 < min(await applied(killed)) < len(events) // 2

        await until(half_way, 60, what="a part of the events applied")
        before = await applied(killed)
        killed.process.kill()
        await killed.process.wait()
        assert min(before) < len(events), "everything was applied before the kill"
        await killed.until_gone(20)
        async with beside.client() as other:
            assert (await other.get("/health/ready")).status_code == 200
            assert (await answer(other, "/profile/customers"))["items"] == []
        await beside.stop(signal.SIGTERM)
    for n in range(1, KILLS):
        async with up(tmp_path / "killed", ROOST_KAFKA_MAX_RECORDS="1") as killed, killed.client() as http:
            asked.append(await ask(http, n))
            await asyncio.sleep(random.uniform(0, 0.5))
            killed.process.kill()
            await killed.process.wait()
            await killed.until_gone(20)
    async with up(tmp_path / "killed") as again, again.client() as http:
        await until_quiet(again)
        assert await applied(again) == [len(events)] * len(SERVICES)
        assert (await answer(http, "/loyalty/ledger/verification"))["ok"]
        for n in range(0, CUSTOMERS, 9):
            await expect_each_once(http, f"re:{n}")
        for n, (merge_id, erasure_id) in enumerate(asked):
            await expect_joined(http, merge_id, f"re:{9 * n + 2}")
            await expect_forgotten(again, http, erasure_id, f"re:gone-{n}")
        code, seconds = await again.stop(signal.SIGINT)
        assert code == 0
        assert seconds < 15
        await again.until_gone(1)


async def ask(http: httpx.AsyncClient, n: int) -> tuple[str, str]:
    """Has two customers merged, and one forgotten; the ids of both."""
    gone = f"re:gone-{n}"
    made = await http.post("/profile/customers", json={"customer_id": gone, "name": PLANTED, "email": f"{n}{EMAIL}"})
    answers = []

    async def merged() -> bool:
        # Their files are there as soon as a purchase of each has been read.
        pair = {"from_id": f"re:{9 * n + 1}", "into_id": f"re:{9 * n + 2}"}
        answers.append(await http.post("/profile/merges", json=pair))
        return answers[-1].status_code != 422

    await until(merged, 30, what="two files to be merged")
    merge = answers[-1]
    erasure = await http.post(f"/profile/customers/{gone}/erasure", json={"reason": "asked by letter"})
    assert (made.is_success, merge.is_success, erasure.is_success) == (True, True, True), (merge.text, erasure.text)
    return merge.json()["id"], erasure.json()["id"]


def history() -> list[dict[str, Any]]:
    """Purchases of 100 each, yesterday and before."""
    now = datetime.now(UTC)
    return [
        cloud_event(
            "purchase-recorded",
            purchase(f"re:{n}", f"re:{n}-{k}", occurred_at=(now - timedelta(days=1 + k)).isoformat()),
            id=f"re:{n}-{k}",
        )
        for k in range(ORDERS)
        for n in range(CUSTOMERS)
    ]


async def expect_each_once(http: httpx.AsyncClient, customer: str) -> None:
    view = await answer(http, f"/profile/customers/{customer}")
    assert view["value"]["order_count"] == ORDERS
    assert (await answer(http, f"/loyalty/accounts/{customer}"))["pending"] == 10 * ORDERS
    assert (await answer(http, f"/churn/customers/{customer}"))["purchase_days"] == ORDERS
    told = (await answer(http, f"/profile/customers/{customer}/timeline", kinds="points-earned", limit=200))["items"]
    assert sorted(item["data"]["order_id"] for item in told) == sorted(f"{customer}-{k}" for k in range(ORDERS))
    planned = (await answer(http, f"/engagement/customers/{customer}/next-contacts"))["items"]
    assert len({contact["purpose"] for contact in planned}) == len(planned)


async def expect_joined(http: httpx.AsyncClient, merge_id: str, survivor: str) -> None:
    assert sorted((await answer(http, f"/profile/merges/{merge_id}"))["acknowledged_by"]) == sorted(SERVICES)
    assert (await answer(http, f"/profile/customers/{survivor}"))["value"]["order_count"] == 2 * ORDERS
    assert (await answer(http, f"/loyalty/accounts/{survivor}"))["pending"] == 2 * 10 * ORDERS
    assert (await answer(http, f"/churn/customers/{survivor}"))["purchase_days"] == ORDERS


async def expect_forgotten(system: Up, http: httpx.AsyncClient, erasure_id: str, customer: str) -> None:
    erasure = await answer(http, f"/profile/erasures/{erasure_id}")
    assert erasure["state"] == "completed"
    assert sorted(one["service"] for one in erasure["acknowledgements"]) == sorted(SERVICES)
    assert (await http.get(f"/profile/customers/{customer}")).status_code == 410
    for name in SERVICES:
        db = Database(database_of(system, name), pool_size=1)
        try:

            async def left(of: Database = db) -> bool:
                return await places_of(of, [PLANTED, EMAIL, customer]) == []

            # Published rows of the embedded mode go when everybody has read them.
            await until(left, 30, what=f"nothing is left in {name}: {await places_of(db, [PLANTED, EMAIL, customer])}")
        finally:
            await db.close()


def database_of(system: Up, name: str) -> str:
    return re.sub(r"/postgres(\?|$)", rf"/{name}\1", system.said["postgres"])


async def applied(system: Up) -> list[int]:
    """Purchases that each service holds as facts."""
    async def of(name: str) -> int:
        connection = await asyncpg.connect(database_of(system, name))
        try:
            count = await connection.fetchval("SELECT count(*) FROM facts WHERE kind = 'purchase-recorded'")
        finally:
            await connection.close()
        return int(count)

    return [await of(name) for name in SERVICES]


async def until_quiet(system: Up) -> None:
    """Waits until ``/status`` says twice in a row that nothing is on its way."""
    async with system.client() as http:
        seen = 0

        async def quiet() -> bool:
            nonlocal seen
            services = (await answer(http, "/status"))["services"].values()
            seen = 0 if any(one["lag"] or one["outbox"] for one in services) else seen + 1
            return seen == 2

        await until(quiet, 120, what="nothing on its way")


async def send(system: Up, records: list[Any]) -> None:
    settings = KafkaSettings(bootstrap_servers=system.said["bootstrap_servers"], enable_idempotence=False)
    async with kafka.producer(settings) as producer:
        for one in records:
            await producer.send_and_wait(one.topic, key=one.key, value=one.value)
