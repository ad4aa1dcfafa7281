"""The four services' real HTTP APIs over databases of their own, asked from synchronous tests."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from pydantic import SecretStr

from deploy.catalogue import entry
from shared.clock import VirtualClock
from shared.contracts.topics import SERVICES
from shared.http.auth import issue_token
from shared.http.pagination import encode_cursor
from shared.http.settings import HttpSettings
from shared.messaging.records import Record
from shared.service import Service, Surroundings
from shared.settings import HouseSettings, KafkaSettings
from tests.kit.builders import NOW, money, purchase, record, returned
from tests.kit.databases import Databases, TestDatabase

SECRET = "a secret of thirty-two bytes, for tests"
CUSTOMER = "pos:1001"


@dataclass(frozen=True, slots=True)
class Apis:
    """The apps, and the loop they live in: not the tests' own, since hypothesis calls synchronously."""

    services: Mapping[str, Service]
    known: Mapping[str, Mapping[str, str]]
    portal: BlockingPortal

    def app(self, service: str) -> FastAPI:
        return self.services[service].app

    def send(self, service: str, request: httpx.Request) -> httpx.Response:
        """The app's answer, read to its end; what it raises is raised here."""

        async def answered() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app(service))) as http:
                return await http.send(request)

        return self.portal.call(answered)


def build(service: str, dsn: str) -> Service:
    """A service as its main builds it, not started: nothing consumes, nothing is relayed."""
    found = entry(service)
    http = HttpSettings(jwt_secret=SecretStr(SECRET))
    surroundings = Surroundings(HouseSettings(), KafkaSettings(), http, VirtualClock(NOW))
    secrets = {"master_key": SecretStr(SECRET)} if "master_key" in found.settings.model_fields else {}
    return found.build(surroundings, found.settings(database_url=SecretStr(dsn), **secrets))  # type: ignore[arg-type]


@asynccontextmanager
async def fresh(databases: Databases) -> AsyncIterator[dict[str, TestDatabase]]:
    """A database for each service."""
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(databases.fresh(name)) for name in SERVICES}


@contextmanager
def opened(databases: Mapping[str, TestDatabase]) -> Iterator[Apis]:
    """The apps, each with a customer who bought, returned, complained and is at risk."""
    with start_blocking_portal() as portal:
        services: dict[str, Service] = {
            name: portal.call(_built, name, databases[name].dsn) for name in SERVICES
        }
        try:
            yield Apis(services, portal.call(_furnish, services), portal)
        finally:
            for service in services.values():
                portal.call(service.stop)


def bearer() -> dict[str, str]:
    """The header of somebody who may do everything."""
    return {"Authorization": f"Bearer {issue_token(SECRET, 'admin')}"}


async def _built(name: str, dsn: str) -> Service:
    return build(name, dsn)


async def _furnish(services: Mapping[str, Service]) -> dict[str, dict[str, str]]:
    """Answers path parameters that lead somewhere, by service and name."""
    orders = [
        record("purchase-recorded", purchase(CUSTOMER, f"pos:{n}", days_ago=10 + 20 * n, total="1250.00"))
        for n in range(3)
    ]
    complaint = {"customer_id": CUSTOMER, "feedback_id": "f-1", "channel": "web", "kind": "complaint"}
    facts: list[Record] = [
        *orders,
        record("purchase-returned", returned("pos:1", customer_id=CUSTOMER, days_ago=3)),
        record("feedback-received", {**complaint, "occurred_at": NOW.isoformat()}),
        record("product-changed", {"sku": "sku-1", "name": "Tea", "category": "tea", "price": money("100")}),
    ]
    for service in services.values():
        await service.intake.take([one for one in facts if one.topic in service.intake.use_cases])
        await service.intake.take([facts[0]._replace(value=b"no JSON")])
    for job in services["engagement"].runner.jobs:
        await services["engagement"].runner.run_once(job)
    ids = {
        path: (await _get(services["engagement"].app, path))["items"][0]["id"] for path in ("/contacts", "/tasks")
    }
    everywhere = {"customer_id": CUSTOMER, "id": "1", "attribute": "shoe", "person_id": "p"}
    merge = {"merge_id": "1", "version": 1, "from_id": "web:2002", "into_id": CUSTOMER, "occurred_at": NOW.isoformat()}
    said = {**merge, "customer_id": CUSTOMER, "sequence": 1, "caused_by": {"source": "/staff", "id": "1"}}
    bought = record("purchase-recorded", purchase("web:2002", "web:1"))
    await services["profile"].intake.take([record("customer-merged", said), bought])
    regulars = {"name": "regulars", "rule": {"fact": "order_count", "op": ">=", "value": 2}}
    await _post(services["profile"].app, "/segments", regulars)
    for job in services["profile"].runner.jobs:
        await services["profile"].runner.run_once(job)
    tin = await _post(services["loyalty"].app, "/rewards", {"name": "Tin", "kind": "product", "points": 5})
    tins = {"customer_id": CUSTOMER, "reward_id": tin["id"]}
    quote = await _post(services["loyalty"].app, "/quotes", tins)
    hold = await _post(services["loyalty"].app, "/holds", {"quote_id": quote["id"]})
    redeemed = await _post(services["loyalty"].app, "/redemptions", tins)
    kept = {"name": "Jar", "kind": "product", "points": 5, "holdout": {"percent": 10}}
    jar = await _post(services["loyalty"].app, "/rewards", kept, "jar")
    measured = {
        "name": "Pays?", "what": {"reward_id": jar["id"]}, "from": NOW.isoformat(), "to": "2027-11-20T00:00:00Z",
        "holdout_percent": 10,
    }  # fmt: skip
    effect = await _post(services["loyalty"].app, "/effects", measured)
    issued = {"customers": [CUSTOMER], "coupon": {"percent": "10", "valid_days": 30}, "reason": "a present"}
    batch = await _post(services["loyalty"].app, "/coupons/batches", issued)
    coupon = (await _get(services["loyalty"].app, f"/accounts/{CUSTOMER}/coupons"))["items"][0]
    many = {"points": 5000, "reason": "a present"}
    proposed = await _post(services["loyalty"].app, f"/accounts/{CUSTOMER}/adjustments", many)
    gift = {"from_customer_id": CUSTOMER, "to_customer_id": "web:2002", "points": 1}
    await services["loyalty"].intake.take([bought])
    transfer = await _post(services["loyalty"].app, "/transfers", gift)
    period = {"from": "2026-01-01T00:00:00Z", "to": "2026-11-01T00:00:00Z", "version": 1}
    tried = await _post(services["loyalty"].app, "/simulations", period)
    member = await _post(services["loyalty"].app, "/enrolments", {"customer_id": CUSTOMER})
    return {
        "profile": {
            **everywhere, "name": "regulars", "channel": "email", "purpose": "marketing", "sku": "sku-1",
            "currency": "USD", "valid_from": "2026-11-20", "identifier_id": "i_" + 32 * "0",
            "/duplicates/{id}": encode_cursor((CUSTOMER, "web:2002")),
        },
        "loyalty": {
            **everywhere, "code": coupon["code"], "/rewards/{id}": tin["id"], "/coupons/batches/{id}": batch["id"],
            "/simulations/{id}": tried["id"], "/effects/{id}": effect["id"],
            "/holds/{id}": hold["id"], "/redemptions/{id}": redeemed["id"],
            "/adjustments/{id}": proposed["id"], "/transfers/{id}": transfer["id"], "/enrolments/{id}": member["id"],
        },
        "churn": {**everywhere, "version": "prior-1", "/customers/{id}": CUSTOMER},
        "engagement": {
            **everywhere, "name": "caps", "/contacts/{id}": ids["/contacts"], "/tasks/{id}": ids["/tasks"],
            "/customers/{id}": CUSTOMER,
        },
    }  # fmt: skip


async def _post(app: FastAPI, path: str, body: dict[str, Any], key: str | None = None) -> Any:
    headers = {**bearer(), "Idempotency-Key": key or path}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers) as http:
        response = await http.post(path, json=body)
    assert response.status_code in (201, 202), response.text
    return response.json()


async def _get(app: FastAPI, path: str) -> Any:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=bearer()) as http:
        response = await http.get(path)
    assert response.status_code == 200, response.text
    return response.json()
