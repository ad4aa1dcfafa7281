"""No body makes us answer 500, and none is bigger than allowed."""

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.http.bodies import MAX_DEPTH, strict_json
from shared.http.problems import ProblemError
from tests.unit.shared.little_app import calling, little_app, problem

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"lines": NaN}',
        b'{"lines": [], "note": Infinity}',
        b'{"lines": [], "note": -Infinity}',
        b'{"lines": [], "note": 1e400}',
        b'{"lines": [], "note": "\\ud800"}',
        b'{"lines": [], "note": "\\udc00\\ud800"}',
        b'{"lines": [], "note": "\xff"}',
        b'{"lines": [], "note": "\xed\xa0\x80"}',
        b'{"lines": [], "note": ' + b"9" * 5000 + b"}",
        b'{"lines": [], "note": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"lines": [], "note": ' + b'{"a":' * 65 + b"1" + b"}" * 66,
        b"\xef\xbb\xbf{}",
        b'{"lines": []} {}',
    ],
)
async def test_what_is_not_strict_json_is_malformed(body: bytes) -> None:
    async with calling(little_app()) as client:
        problem(await client.post("/echo", content=body, headers=JSON), 400, "malformed-json")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"lines": [], "note": "a\\u0000b"}', "/note"),
        (b'{"lines": [], "note": [1, {"deep": "\\u0000"}]}', "/note/1/deep"),
        (b'{"lines": [], "note": {"a\\u0000": 1}}', "/note"),
    ],
)
async def test_no_nul_gets_in(body: bytes, pointer: str) -> None:
    async with calling(little_app()) as client:
        response = await client.post("/echo", content=body, headers=JSON)
    assert problem(response, 422, "invalid-request")["errors"][0]["pointer"] == pointer


async def test_an_escaped_backslash_before_u0000_is_plain_text() -> None:
    async with calling(little_app()) as client:
        response = await client.post("/echo", content=rb'{"lines": [], "note": "\\u0000"}', headers=JSON)
    assert response.json()["note"] == r"\u0000"


async def test_no_nul_gets_in_by_path_or_query() -> None:
    async with calling(little_app()) as client:
        problem(await client.post("/attempt/a%00b"), 422, "invalid-request")
        problem(await client.post("/attempt/a?q=%00"), 422, "invalid-request")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_is_not_called_json_is_refused(content_type: str) -> None:
    async with calling(little_app()) as client:
        response = await client.post("/echo", content=b"{}", headers={"Content-Type": content_type})
    problem(response, 415, "unsupported-media-type")


async def test_json_by_another_name_is_taken() -> None:
    async with calling(little_app()) as client:
        response = await client.post(
            "/echo", content=b'{"lines": []}', headers={"Content-Type": "Application/CloudEvents+JSON; charset=utf-8"}
        )
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/echo", "/raw"])
async def test_a_declared_body_beyond_the_limit_is_too_large(path: str) -> None:
    async with calling(little_app()) as client:
        problem(await client.post(path, content=b" " * 1_048_577, headers=JSON), 413, "body-too-large")


@pytest.mark.parametrize("path", ["/echo", "/raw"])
async def test_a_streamed_body_beyond_the_limit_is_too_large(path: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 10_000_000:
            sent += 65_536
            yield b" " * 65_536

    async with calling(little_app()) as client:
        problem(await client.post(path, content=endless(), headers=JSON), 413, "body-too-large")
    assert sent <= 1_048_576 + 2 * 65_536


async def test_a_body_declared_too_large_is_not_read_at_all() -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async with calling(little_app()) as client:
        response = await client.post("/raw", content=unread(), headers={"Content-Length": "1048577"})
    problem(response, 413, "body-too-large")


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    async with calling(little_app()) as client:
        assert (await client.post("/raw", content=b" " * 1_048_576)).json() == 1_048_576


async def test_an_import_has_a_limit_of_its_own() -> None:
    async with calling(little_app()) as client:
        assert (await client.post("/import", content=b" " * 2_000_000)).json() == 2_000_000
        problem(await client.post("/import", content=b" " * 3_000_001), 413, "body-too-large")


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=20,
)


@given(_json)
def test_plain_json_is_read_as_it_is(value: object) -> None:
    assert strict_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=64) | st.text('[]{}",:\\u0d8NaInfty19.e-').map(str.encode))
@settings(max_examples=300)
def test_any_bytes_are_json_or_a_problem(body: bytes) -> None:
    refused = None
    try:
        strict_json(body)
    except ProblemError as error:
        refused = error
    assert refused is None or refused.status in (400, 422)


@pytest.mark.parametrize("depth", [1, MAX_DEPTH - 1, MAX_DEPTH])
def test_as_many_levels_as_allowed_are_read(depth: int) -> None:
    strict_json(b"[" * depth + b"]" * depth)
    wide = b"[" + b",".join([b"[]"] * 200) + b"]"
    assert len(strict_json(wide)) == 200


@pytest.mark.parametrize("body", [b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65])
def test_one_level_more_is_malformed(body: bytes) -> None:
    with pytest.raises(ProblemError) as refused:
        strict_json(body)
    assert refused.value.code == "malformed-json"
