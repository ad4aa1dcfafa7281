"""The APIs hold what their OpenAPI documents say, whatever is sent to them."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import jsonschema
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from shared.contracts.topics import SERVICES
from tests.contract.apis import Apis, bearer, build, fresh, opened
from tests.kit.databases import Databases, TestDatabase

AnyCase = Case[Any]
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = int(os.environ.get("ROOST_FUZZ_EXAMPLES", "8"))
DOCUMENTS: dict[str, dict[str, Any]] = {
    name: build(name, "postgresql://nobody@localhost/none").app.openapi() for name in SERVICES
}
OPERATIONS = [
    (name, method, path)
    for name, document in DOCUMENTS.items()
    for path, methods in document["paths"].items()
    for method in methods
]


@pytest_asyncio.fixture(scope="module")
async def four(databases: Databases) -> AsyncIterator[dict[str, TestDatabase]]:
    async with fresh(databases) as made:
        yield made


@pytest.fixture(scope="module")
def apis(four: dict[str, TestDatabase]) -> Iterator[Apis]:
    with opened(four) as made:
        yield made


@pytest.mark.parametrize(("service", "method", "path"), OPERATIONS)
def test_whatever_is_sent_the_answer_is_one_that_is_documented(
    apis: Apis, service: str, method: str, path: str
) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENTS[service])[path][method.upper()]

    @given(case=cases(operation, known_parameters(apis, service, path)))
    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    def holds(case: AnyCase) -> None:
        case.validate_response(apis.send(service, request_of(case)), checks=CHECKS)

    holds()


def cases(operation: APIOperation[Any, Any, Any, Any], known: dict[str, str]) -> st.SearchStrategy[AnyCase]:
    """Requests by the document, requests that break it, and requests for things that are there."""
    leads_somewhere: dict[str, Any] = {"path_parameters": known} if known else {}
    if any(parameter.name == "If-Match" for parameter in operation.iter_parameters()):
        leads_somewhere["headers"] = {"If-Match": "*"}
    return st.one_of(
        operation.as_strategy(**leads_somewhere),
        operation.as_strategy(),
        operation.as_strategy(GenerationMode.NEGATIVE),
    )


def request_of(case: AnyCase) -> httpx.Request:
    """What the case sends, with a token that may do everything."""
    sent = case.as_transport_kwargs(base_url="http://api", headers=bearer())
    content = {"json": sent["json"]} if "json" in sent else {"content": sent.get("data")}
    # As bytes: httpx would refuse to send what isn't ASCII.
    headers = [(name.encode(), str(value).encode()) for name, value in sent["headers"].items()]
    return httpx.Request(sent["method"], sent["url"], params=sent.get("params"), headers=headers, **content)


def known_parameters(apis: Apis, service: str, path: str) -> dict[str, str]:
    """Values for the parameters of a path, that lead to something."""
    known = apis.known[service]
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    special = next((value for prefix, value in known.items() if prefix[0] == "/" and path.startswith(prefix)), None)
    return {name: special if special and name == "id" else known[name] for name in names}


@pytest.mark.parametrize(("service", "method", "path"), OPERATIONS)
def test_every_route_shows_an_example_that_keeps_to_its_schema(service: str, method: str, path: str) -> None:
    document = DOCUMENTS[service]
    operation = document["paths"][path][method]
    shown = [answer for status, answer in operation["responses"].items() if status < "300"]
    assert shown
    for part in (*shown, operation.get("requestBody", {"content": {}})):
        for media in part["content"].values():
            examples = examples_of(media, document)
            assert examples, "no example"
            schema = {**media["schema"], "components": document["components"]}
            for example in examples:
                jsonschema.Draft202012Validator(schema).validate(example)


@pytest.mark.parametrize("service", SERVICES)
def test_no_two_shapes_share_a_name(service: str) -> None:
    """Else both are called by their modules, and so is whatever a front-end team generates from the document."""
    assert [name for name in DOCUMENTS[service]["components"]["schemas"] if "__" in name] == []


@pytest.mark.parametrize(("service", "method", "path"), OPERATIONS)
def test_every_route_documents_its_problems(service: str, method: str, path: str) -> None:
    operation = DOCUMENTS[service]["paths"][path][method]
    problems = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
    for answer in problems.values():
        assert answer["content"].keys() == {"application/problem+json"}
    expected = {"401", "403"} if operation["security"] else set()
    expected |= {"422"} if any(one["in"] in ("path", "query") for one in operation.get("parameters", ())) else set()
    expected |= {"400", "413", "415", "422"} if "requestBody" in operation else set()
    assert expected <= problems.keys()


def examples_of(media: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    """Those of a request or an answer: beside its schema, in it, or in the components that it names."""
    schema = media["schema"]
    named = [one["$ref"].rpartition("/")[2] for one in (schema, *schema.get("anyOf", ())) if "$ref" in one]
    places = [media, schema, *(document["components"]["schemas"][name] for name in named)]
    found = [one["value"] for one in media.get("examples", {}).values()]
    for place in places:
        found += [place["example"]] if "example" in place else []
    return found + [one for place in places[1:] for one in place.get("examples", ())]
