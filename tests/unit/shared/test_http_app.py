"""Health, documentation and other origins, at the root and under a prefix."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.unit.shared.little_app import SETTINGS, calling, little_app, problem


async def test_a_live_service_says_so() -> None:
    async with calling(little_app()) as client:
        assert (await client.get("/health/live")).json()["status"] == "live"


async def test_a_service_is_ready_when_all_it_needs_is() -> None:
    async def ready() -> dict[str, str]:
        return {"database": "ok", "relay": "standby"}

    async with calling(little_app(ready=ready)) as client:
        response = await client.get("/health/ready")
    assert response.json() == {"status": "ready", "checks": {"database": "ok", "relay": "standby"}}


async def test_a_service_is_not_ready_while_something_is_missing() -> None:
    async def ready() -> dict[str, str]:
        return {"database": "ok", "broker": "unreachable"}

    async with calling(little_app(ready=ready)) as client:
        body = problem(await client.get("/health/ready"), 503, "not-ready")
    assert body["checks"] == {"database": "ok", "broker": "unreachable"}


async def test_a_check_that_fails_is_a_service_not_ready() -> None:
    async def ready() -> dict[str, str]:
        raise ConnectionError("postgresql://u:pw@host")

    async with calling(little_app(ready=ready)) as client:
        response = await client.get("/health/ready")
    problem(response, 503, "not-ready")
    assert "pw" not in response.text


async def test_a_check_that_hangs_is_a_service_not_ready() -> None:
    async def ready() -> dict[str, str]:
        await asyncio.Event().wait()
        raise AssertionError

    app = little_app(ready=ready, settings=SETTINGS.model_copy(update={"ready_timeout_seconds": 0.01}))
    async with calling(app) as client:
        problem(await client.get("/health/ready"), 503, "not-ready")


def mounted() -> FastAPI:
    house = FastAPI()
    house.mount("/little", little_app())
    return house


@pytest.mark.parametrize(("app", "prefix"), [(little_app(), ""), (mounted(), "/little")], ids=["root", "mounted"])
async def test_the_documentation_is_found_where_the_app_is(app: FastAPI, prefix: str) -> None:
    async with calling(app) as client:
        page = await client.get(f"{prefix}/docs")
        document = (await client.get(f"{prefix}/openapi.json")).json()
        assert (await client.get(f"{prefix}/health/live")).status_code == 200
    assert f"'{prefix}/openapi.json'" in page.text
    assert [server["url"] for server in document.get("servers", [])] == ([prefix] if prefix else [])


async def described() -> dict[str, Any]:
    async with calling(little_app()) as client:
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
    return document


async def test_every_route_documents_its_problems() -> None:
    paths = (await described())["paths"]

    def problems(path: str, method: str) -> set[str]:
        answers = paths[path][method]["responses"]
        return {status for status, answer in answers.items() if "application/problem+json" in answer.get("content", {})}

    assert problems("/orders", "get") == {"401", "403", "422"}
    assert problems("/orders", "post") == {"400", "401", "403", "409", "413", "415", "422"}
    assert problems("/orders/{customer_id}", "get") == {"401", "403", "404", "410", "422"}
    assert problems("/orders/{customer_id}", "put") >= {"404", "412", "428"}
    assert problems("/health/ready", "get") == {"503"}


async def test_every_reference_in_the_document_leads_somewhere() -> None:
    document = await described()

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*map(references, node.values()))
        return set().union(*map(references, node)) if isinstance(node, list) else set()

    found = references(document)
    assert "#/components/schemas/Problem" in found
    for reference in found:
        assert reference.rsplit("/", 1)[1] in document["components"]["schemas"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_headers_and_tokens_are_documented() -> None:
    document = await described()
    post, put = document["paths"]["/orders"]["post"], document["paths"]["/orders/{customer_id}"]["put"]
    assert [(p["name"], p["required"]) for p in post["parameters"]] == [("Idempotency-Key", True)]
    assert ("If-Match", "header") in [(p["name"], p["in"]) for p in put["parameters"]]
    assert post["security"] == [{"bearer": []}]
    assert document["paths"]["/echo"]["post"]["security"] == []
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


async def preflight(origins: tuple[str, ...], origin: str) -> httpx.Response:
    app = little_app(settings=SETTINGS.model_copy(update={"cors_origins": origins}))
    async with calling(app) as client:
        return await client.options(
            "/orders",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, idempotency-key, if-match, traceparent",
            },
        )


async def test_origins_are_let_in_by_setting() -> None:
    allowed = await preflight(("https://shop.example",), "https://shop.example")
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert allowed.headers["x-request-id"]


async def test_other_origins_are_not_let_in() -> None:
    assert (
        "access-control-allow-origin" not in (await preflight(("https://shop.example",), "https://x.example")).headers
    )
    assert "access-control-allow-origin" not in (await preflight((), "https://shop.example")).headers
