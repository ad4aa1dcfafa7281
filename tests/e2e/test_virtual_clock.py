"""Weeks in seconds: what falls due happens at its instant, however the clock is set forward."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from deploy.system import Options, System, running
from shared.messaging.records import Record
from tests.kit import infra
from tests.kit.builders import purchase, record
from tests.kit.system import answer, client, publish

START = datetime.fromisoformat("2026-11-22T09:00:00+08:00")
CUSTOMERS = [f"clock:{n}" for n in range(9)]
LATER = "clock:later"


class Shop(NamedTuple):
    """A system in virtual time, after the purchases of all customers have flowed through it."""

    system: System
    http: httpx.AsyncClient

    async def advance(self, by: str) -> dict[str, Any]:
        response = await self.http.post("/clock/advance", json={"by": by}, timeout=300)
        assert response.status_code == 200, response.text
        told: dict[str, Any] = response.json()
        return told

    async def of_all(self, path: str) -> dict[str, Any]:
        """The answers to a path of each customer, by customer."""
        return {customer: await answer(self.http, path.format(customer)) for customer in CUSTOMERS}


class Pair(NamedTuple):
    """The same purchases: 14 days and 46 lived through at once, and 60 days in steps. ``early``: after 14 days."""

    at_once: Shop
    in_steps: Shop
    before: dict[str, Any]
    early: dict[str, Any]


@pytest_asyncio.fixture(scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Two systems side by side."""
    one, other = (tmp_path_factory.mktemp(name) / "roost" for name in ("at-once", "in-steps"))
    async with shop(one) as at_once, shop(other) as in_steps:
        before = await at_once.of_all("/loyalty/accounts/{}")

        async def by_and_by() -> None:
            for step in ("PT7H", "P20D", "P13DT17H", "P26D"):
                await in_steps.advance(step)

        async def in_two() -> dict[str, Any]:
            await at_once.advance("P14D")
            early = await at_once.of_all("/loyalty/accounts/{}")
            await at_once.advance("P46D")
            return early

        early, _ = await asyncio.gather(in_two(), by_and_by())
        yield Pair(at_once, in_steps, before, early)


@asynccontextmanager
async def shop(data_dir: Path) -> AsyncIterator[Shop]:
    options = Options(
        data_dir, port=0, broker="kafka" if infra.kind() == "kafka" else "tansu", start_clock=START
    )
    async with running(options) as system, client(system) as http:
        await publish(system, purchases())
        await system.until_quiet(seconds=60)
        yield Shop(system, http)


def purchases() -> list[Record]:
    """Each customer bought five times, at a rhythm of his own; the last time a day ago."""
    made = []
    for n, customer in enumerate(CUSTOMERS):
        for k in range(5):
            at = START - timedelta(days=1 + k * (5 + n), minutes=7 * n)
            data = purchase(customer, f"{customer}-{k}", total=f"{200 + 100 * n}", occurred_at=at.isoformat())
            made.append(record("purchase-recorded", data, id=f"{customer}-{k}"))
    return made


async def test_points_that_were_pending_become_available_when_their_days_are_over(pair: Pair) -> None:
    for n, customer in enumerate(CUSTOMERS):
        each = 20 + 10 * n
        ended_before = sum(1 + k * (5 + n) >= 14 for k in range(5))
        account = pair.before[customer]
        assert (account["available"], account["pending"]) == (ended_before * each, (5 - ended_before) * each), customer
        assert (pair.early[customer]["available"], pair.early[customer]["pending"]) == (5 * each, 0), customer


async def test_customers_who_stay_away_come_to_be_at_risk_and_are_handed_over_to_be_won_back(pair: Pair) -> None:
    http = pair.at_once.http
    at_risk = (await answer(http, "/churn/at-risk", limit=200))["items"]
    assert {item["customer_id"] for item in at_risk} == set(CUSTOMERS)
    assert all(item["reasons"] for item in at_risk)
    contacts = (await answer(http, "/engagement/contacts", purpose="win-back", limit=200))["items"]
    assert {contact["customer_id"] for contact in contacts} == set(CUSTOMERS)
    tasks = (await answer(http, "/engagement/tasks", kind="contact", limit=200))["items"]
    assert {task["customer_id"] for task in tasks} == set(CUSTOMERS), "without a mail server people make the contacts"
    for customer in CUSTOMERS:
        view = await answer(http, f"/profile/customers/{customer}")
        assert view["risk"]["band"] in ("at-risk", "critical")


async def test_one_step_has_the_results_of_many(pair: Pair) -> None:
    assert (await answer(pair.at_once.http, "/clock"))["now"] == (await answer(pair.in_steps.http, "/clock"))["now"]
    assert await results(pair.at_once) == await results(pair.in_steps)


async def test_time_passes_for_events_too(pair: Pair) -> None:
    now = datetime.fromisoformat((await answer(pair.at_once.http, "/clock"))["now"])
    data = purchase(LATER, "clock:later-1", occurred_at=(now - timedelta(days=20)).isoformat())
    await publish(pair.at_once.system, [record("purchase-recorded", data)])
    await pair.at_once.advance("PT0S")
    assert (await answer(pair.at_once.http, f"/loyalty/accounts/{LATER}"))["available"] == 10


@pytest.mark.parametrize("by", ["-P1D", "P20000D", "yesterday", 10**30])
async def test_the_clock_never_goes_back_nor_out_of_range(pair: Pair, by: object) -> None:
    before = await answer(pair.at_once.http, "/clock")
    response = await pair.at_once.http.post("/clock/advance", json={"by": by})
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["pointer"] == "/by"
    assert await answer(pair.at_once.http, "/clock") == before


async def test_only_an_admin_sets_the_clock(pair: Pair) -> None:
    system = pair.at_once.system
    async with httpx.AsyncClient(base_url=system.url) as nobody:
        assert (await nobody.post("/clock/advance", json={"by": "P1D"})).status_code == 401
    async with client(system, "operations:write loyalty:write") as staff:
        assert (await staff.post("/clock/advance", json={"by": "P1D"})).status_code == 403
    async with client(system, "admin", CUSTOMERS[0]) as customer:
        assert (await customer.post("/clock/advance", json={"by": "P1D"})).status_code == 403


async def results(shop: Shop) -> Any:
    """What the services say, without ids."""
    at_risk = (await answer(shop.http, "/churn/at-risk", limit=200, order="probability"))["items"]
    contacts = (await answer(shop.http, "/engagement/contacts", limit=200))["items"]
    tasks = (await answer(shop.http, "/engagement/tasks", limit=200))["items"]
    named = ("customer_id", "purpose", "channel", "status", "due_at", "created_at", "closed_reason")
    return (
        await shop.of_all("/loyalty/accounts/{}"),
        await shop.of_all("/churn/customers/{}"),
        at_risk,
        sorted([contact[name] or "" for name in named] for contact in contacts),
        sorted((task["customer_id"], task["kind"], task["title"], task["due_at"]) for task in tasks),
    )
