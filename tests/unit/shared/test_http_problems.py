"""Every error is a problem, whoever raised it."""

import io
import json
from typing import Any

import pytest

from shared.http.problems import ProblemError, invalid
from shared.http.routing import Router
from tests.unit.shared.little_app import bearer, calling, echoes, little_app, problem

VALID = {"lines": [{"sku": "tea", "quantity": 2}]}


async def test_a_path_that_no_route_has_is_not_found() -> None:
    async with calling(little_app()) as client:
        problem(await client.get("/nowhere"), 404, "not-found")
        problem(await client.get("/orders/c-1/"), 404, "not-found")


async def test_a_wrong_method_names_all_right_ones() -> None:
    async with calling(little_app()) as client:
        response = await client.delete("/orders")
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/lines"),
        ({"lines": [{"sku": "tea", "quantity": 2}, {"quantity": 2}]}, "/lines/1/sku"),
        ({"lines": [{"sku": 5, "quantity": 2}]}, "/lines/0/sku"),
        ({"lines": [{"sku": "tea", "quantity": 101}]}, "/lines/0/quantity"),
        ({"lines": "none"}, "/lines"),
        ([], ""),
    ],
)
async def test_invalid_input_is_pointed_at(body: Any, pointer: str) -> None:
    async with calling(little_app()) as client:
        response = await client.post("/echo", json=body)
    assert [error["pointer"] for error in problem(response, 422, "invalid-request")["errors"]] == [pointer]


async def test_a_missing_body_is_pointed_at_as_the_whole() -> None:
    async with calling(little_app()) as client:
        response = await client.post("/echo")
    assert problem(response, 422, "invalid-request")["errors"][0]["pointer"] == ""


async def test_an_invalid_query_is_pointed_at() -> None:
    async with calling(little_app(), headers=bearer("admin")) as client:
        response = await client.get("/orders?limit=201")
    assert problem(response, 422, "invalid-request")["errors"][0]["pointer"] == "/query/limit"


async def test_no_more_than_a_hundred_errors_are_told() -> None:
    async with calling(little_app()) as client:
        response = await client.post("/echo", json={"lines": [{}] * 400})
    assert len(problem(response, 422, "invalid-request")["errors"]) == 100


async def test_a_pointer_escapes_what_json_pointers_escape() -> None:
    router = Router(prefix="/bag", dependencies=echoes().dependencies)

    @router.post("")
    async def bag(numbers: dict[str, int]) -> None: ...

    async with calling(little_app(routers=[router])) as client:
        response = await client.post("/bag", json={"a/b~c": "x"})
    assert problem(response, 422, "invalid-request")["errors"][0]["pointer"] == "/a~1b~0c"


async def test_the_place_in_a_union_is_told_without_the_names_of_its_members() -> None:
    router = Router(prefix="/either", dependencies=echoes().dependencies)

    @router.post("")
    async def either(values: list[int | bool]) -> None: ...

    async with calling(little_app(routers=[router])) as client:
        response = await client.post("/either", json=[1, "x"])
    errors = problem(response, 422, "invalid-request")["errors"]
    assert {error["pointer"] for error in errors} == {"/1"}


async def test_a_domain_error_keeps_its_own_members() -> None:
    async with calling(little_app()) as client:
        response = await client.post("/spend")
    assert problem(response, 409, "insufficient-points")["shortfall"] == 30


async def test_an_unexpected_error_is_logged_and_tells_the_client_nothing(log: io.StringIO) -> None:
    async with calling(little_app()) as client:
        response = await client.get("/broken")
    body = problem(response, 500, "internal-error")
    assert "hunter2" not in response.text
    failed, request = (json.loads(line) for line in log.getvalue().splitlines())
    assert (failed["action"], request["action"]) == ("http.failed", "http.request")
    assert failed["trace_id"] == body["trace_id"]
    assert "LookupError" in failed["exception"]
    assert request["status"] == 500


async def test_an_unexpected_error_is_readable_from_another_origin() -> None:
    settings = little_app().state.http.model_copy(update={"cors_origins": ("https://shop.example",)})
    async with calling(little_app(settings=settings)) as client:
        response = await client.get("/broken", headers={"Origin": "https://shop.example"})
    problem(response, 500, "internal-error")
    assert response.headers["access-control-allow-origin"] == "https://shop.example"


def test_a_problem_cannot_overwrite_its_standard_members() -> None:
    with pytest.raises(ValueError, match="reserved"):
        ProblemError(409, "taken", type="x")


def test_invalid_says_where_and_what() -> None:
    error = invalid("/lines/0", "is empty")
    assert (error.status, error.errors[0].pointer, error.errors[0].message) == (422, "/lines/0", "is empty")
