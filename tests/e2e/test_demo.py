"""The demo as a user runs it: real purchases through everything, again without effect, and after a kill -9."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from deploy.demo.first_run import first_run
from deploy.remote import RUNNING
from shared.contracts.topics import SERVICES
from shared.settings import HouseSettings
from tests.kit import infra
from tests.kit.waiting import until

ROOT = Path(__file__).resolve().parents[2]
BASKETS, CUSTOMERS = 1_102, 250
TOTALS = ("applied", "customers", "points_issued", "ledger_balanced", "tiers", "at_risk", "contacts_planned")


class Ended(NamedTuple):
    """A demo that ended: where its data are, and the object it printed."""

    data: Path
    told: dict[str, Any]

    @property
    def totals(self) -> dict[str, Any]:
        return {name: self.told[name] for name in TOTALS}


class Pair(NamedTuple):
    """Two demos of the same purchases, run at the same time in data directories of their own."""

    undisturbed: Ended
    killed: Ended
    applied_before_the_kill: int


@pytest_asyncio.fixture(scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """One that nobody disturbed, and one that was killed in the middle and started again."""
    one, other = (tmp_path_factory.mktemp(name) / "roost" for name in ("undisturbed", "killed"))
    now = datetime.now(UTC)
    for data in (one, other):
        data.mkdir()
        first_run(data, now, HouseSettings().zone)
    undisturbed, (applied, killed) = await asyncio.gather(finished(one), killed_and_finished(other))
    return Pair(Ended(one, undisturbed), Ended(other, killed), applied)


def test_every_purchase_is_applied_in_every_service_and_the_ledger_balances(pair: Pair) -> None:
    told = pair.undisturbed.told
    assert told["events_published"] == BASKETS
    assert told["applied"] == dict.fromkeys(SERVICES, BASKETS)
    assert told["duplicates"] == dict.fromkeys(SERVICES, 0)
    assert (told["dead_letters"], told["ledger_balanced"], told["customers"]) == (0, True, CUSTOMERS)
    assert told["points_issued"] > 0
    assert told["at_risk"] > 0
    assert told["contacts_planned"] > 0
    assert told["events_per_second"] > 0
    assert told["seconds"] > sum(told["phases"].values()) * 0.9


def test_after_a_kill_in_the_middle_a_second_demo_has_the_totals_of_an_undisturbed_one(pair: Pair) -> None:
    assert 0 < pair.applied_before_the_kill < BASKETS
    assert pair.killed.told["dead_letters"] == 0
    assert pair.killed.totals == pair.undisturbed.totals


async def test_a_second_demo_applies_nothing_twice(pair: Pair) -> None:
    told = await finished(pair.undisturbed.data)
    assert told["events_published"] == BASKETS
    assert {name: told[name] for name in TOTALS} == pair.undisturbed.totals
    assert all(told["duplicates"][name] >= BASKETS for name in SERVICES)


async def killed_and_finished(data: Path) -> tuple[int, dict[str, Any]]:
    """A demo killed (signal 9) in the middle, then one that ends: how far the first came, what the other told."""
    async with demo(data, ROOST_KAFKA_MAX_RECORDS="20") as process:
        applied = await until(lambda: some_are_applied(data), 120, what="a part of the purchases applied")
        process.send_signal(signal.SIGKILL)
        await process.wait()
    return applied, await finished(data)


@asynccontextmanager
async def demo(data: Path, **environment: str) -> AsyncIterator[Process]:
    """A demo under way; ended if the test doesn't see it through."""
    broker = "kafka" if infra.kind() == "kafka" else "tansu"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", "demo", "--customers", str(CUSTOMERS), "--exit", "--json", "--port", "0",
        "--data", str(data), "--broker", broker,
        cwd=ROOT, env={**os.environ, **environment}, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def finished(data: Path) -> dict[str, Any]:
    """The object that a demo over the data directory prints as its last line."""
    async with demo(data) as process:
        async with asyncio.timeout(240):
            stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    told: dict[str, Any] = json.loads(stdout.decode().splitlines()[-1])
    return told


async def some_are_applied(data: Path) -> int:
    """How many purchases profile has applied, from a tenth on; else 0."""
    with suppress(FileNotFoundError):
        admin = urlsplit(json.loads((data / RUNNING).read_text())["postgres"])
        connection = await asyncpg.connect(admin._replace(path="/profile").geturl())
        try:
            applied = await connection.fetchval("SELECT count(*) FROM facts WHERE kind = 'purchase-recorded'")
        finally:
            await connection.close()
        return int(applied) if applied > BASKETS // 10 else 0
    return 0
