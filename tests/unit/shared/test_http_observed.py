"""Every request can be found again: by its ids, in the log, in the metrics."""

import asyncio
import io
import json

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter

from shared.http.app import create_app
from shared.http.auth import public
from shared.http.routing import Router
from shared.observability import current_traceparent
from tests.unit.shared.little_app import SETTINGS, bearer, calling, little_app, problem

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def traced() -> Router:
    router = Router(dependencies=[public()])

    @router.get("/traceparent")
    async def show() -> str | None:
        return current_traceparent.get()

    return router


async def test_the_ids_sent_come_back() -> None:
    async with calling(little_app(routers=[traced()])) as client:
        response = await client.get("/traceparent", headers={"X-Request-Id": "r-1", "traceparent": TRACE})
        assert (response.headers["x-request-id"], response.headers["traceparent"]) == ("r-1", TRACE)
        assert response.json() == TRACE
    assert current_traceparent.get() is None


async def test_an_app_mounted_in_another_has_the_ids_of_the_request_and_they_are_said_once() -> None:
    front = little_app()
    front.mount("/mounted", little_app(routers=[traced()]))
    async with calling(front) as client:
        answer = await client.get("/mounted/traceparent")
        unknown = await client.get("/mounted/nothing")
    for one in (answer, unknown):
        assert len(one.headers.get_list("x-request-id")) == len(one.headers.get_list("traceparent")) == 1
    assert answer.json() == answer.headers["traceparent"]
    assert problem(unknown, 404, "not-found")["trace_id"] == unknown.headers["x-request-id"]


@pytest.mark.parametrize("sent", [{}, {"X-Request-Id": "a b", "traceparent": "00-x"}, {"X-Request-Id": "x" * 129}])
async def test_ids_are_made_where_none_or_bad_ones_were_sent(sent: dict[str, str]) -> None:
    async with calling(little_app(routers=[traced()])) as client:
        one, other = [await client.get("/traceparent", headers=sent) for _ in range(2)]
    assert one.json() == one.headers["traceparent"] != other.headers["traceparent"]
    assert one.headers["x-request-id"] != other.headers["x-request-id"]
    assert one.headers["x-request-id"] not in sent.values()


async def test_requests_at_the_same_time_keep_their_own_trace() -> None:
    async with calling(little_app(routers=[traced()])) as client:
        answers = await asyncio.gather(*(client.get("/traceparent") for _ in range(20)))
    assert all(answer.json() == answer.headers["traceparent"] for answer in answers)
    assert len({answer.json() for answer in answers}) == 20


async def test_the_log_names_the_route_and_never_what_was_asked(log: io.StringIO) -> None:
    async with calling(little_app()) as client:
        headers = {"X-Request-Id": "r-9", "traceparent": TRACE, **bearer("orders:read")}
        await client.get("/orders/c-secret?q=name", headers=headers)
    line = json.loads(log.getvalue())
    assert (
        line.items()
        >= {
            "action": "http.request",
            "service": "little",
            "method": "GET",
            "route": "/orders/{customer_id}",
            "status": 200,
            "request_id": "r-9",
            "trace_id": TRACE.split("-")[1],
        }.items()
    )
    assert line["ms"] > 0
    assert "c-secret" not in log.getvalue()
    assert "name" not in log.getvalue()


async def test_requests_are_counted_by_route_template() -> None:
    async with calling(little_app(), headers=bearer("orders:read")) as client:
        for path in ("/orders/c-1", "/orders/c-2", "/nowhere", "/somewhere"):
            await client.get(path)
        await client.request("BREW", "/nowhere")
        text = (await client.get("/metrics")).text
    route = 'method="GET",route="/orders/{customer_id}",service="little"'
    assert f'roost_http_requests_total{{{route},status="200"}} 2.0' in text
    assert f"roost_http_request_seconds_count{{{route}}} 2.0" in text
    assert 'route="unmatched",service="little",status="404"} 2.0' in text
    assert 'method="other"' in text
    assert "c-1" not in text
    assert "process_resident_memory_bytes" in text


async def test_four_services_in_one_process_do_not_collide() -> None:
    house = FastAPI()
    for service in ("profile", "engagement", "loyalty", "churn"):
        house.mount(f"/{service}", create_app(title=service, service=service, settings=SETTINGS, routers=[traced()]))
    async with calling(house) as client:
        await client.get("/profile/traceparent")
        assert 'service="profile"' in (await client.get("/profile/metrics")).text
        assert 'service="profile"' not in (await client.get("/loyalty/metrics")).text


async def test_a_service_adds_its_own_metrics_to_its_registry() -> None:
    registry = CollectorRegistry()
    Counter("things", "Things", registry=registry).inc()
    async with calling(little_app(registry=registry)) as client:
        assert "things_total 1.0" in (await client.get("/metrics")).text


async def test_closed_metrics_need_their_scope() -> None:
    app = little_app(settings=SETTINGS.model_copy(update={"public_metrics": False}))
    async with calling(app) as client:
        problem(await client.get("/metrics"), 401, "unauthorized")
        problem(await client.get("/metrics", headers=bearer("orders:read")), 403, "insufficient-scope")
        assert (await client.get("/metrics", headers=bearer("metrics:read"))).status_code == 200
