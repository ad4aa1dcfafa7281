"""In which order a request is refused: 401, 403, 400 without a key, 428, and only then its body."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.unit.shared.little_app import bearer, calling, little_app, problem

JSON = {"Content-Type": "application/json"}
KEY = {"Idempotency-Key": "k-1"}
BAD_BODIES = [b"{", b'{"lines": 5}', b" " * 1_048_577, b'{"note": "\\u0000"}']


@pytest.mark.parametrize("body", BAD_BODIES, ids=["malformed", "invalid", "too-large", "nul"])
async def test_a_bad_body_is_told_to_nobody_who_may_not_send_one(body: bytes) -> None:
    async with calling(little_app(), headers=JSON) as client:
        problem(await client.post("/orders", content=body, headers=KEY), 401, "unauthorized")
        problem(await client.post("/orders", content=body, headers=bearer("other")), 403, "insufficient-scope")
        writer = bearer("orders:write")
        problem(await client.post("/orders", content=body, headers=writer), 400, "idempotency-key-required")
        problem(await client.put("/orders/c-1", content=body, headers=writer), 428, "precondition-required")
        last = await client.post("/orders", content=body, headers=writer | KEY)
    assert last.status_code in (400, 413, 422)
    assert last.json()["code"] in ("malformed-json", "body-too-large", "invalid-request")


async def test_a_bad_query_is_told_to_nobody_who_may_not_ask() -> None:
    async with calling(little_app()) as client:
        problem(await client.get("/orders?limit=x"), 401, "unauthorized")


@pytest.mark.parametrize("key", [b"", b" ", b"a b", b"\xfc", b"x" * 256])
async def test_a_key_is_printable_ascii(key: bytes) -> None:
    token = bearer("orders:write")["Authorization"].encode()
    async with calling(little_app()) as client:
        headers = {b"Authorization": token, b"Idempotency-Key": key}
        response = await client.post("/orders", json={"lines": []}, headers=headers)
    problem(response, 400, "idempotency-key-invalid")


async def test_a_stranger_is_refused_before_his_body_is_read() -> None:
    async def unread() -> Message:
        raise AssertionError("the body was read")

    async def with_closed_body(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, unread, send)

    app = little_app()
    async with calling(with_closed_body) as client:
        problem(await client.post("/orders", content=b"{}", headers=JSON), 401, "unauthorized")


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [
        ("/attempt", b'{"a": 1, "b": [2]}', b'{ "b":[2],"a":1 }'),
        ("/attempt?x=1&y=2", b"", b""),
    ],
)
async def test_the_same_request_in_other_words_has_the_same_signature(path: str, one: bytes, other: bytes) -> None:
    async with calling(little_app(), headers=JSON | KEY) as client:
        first = (await client.post(path, content=one)).json()
        assert first == (await client.post(path, content=other)).json()
    assert first["route"] == "little POST /attempt"


async def test_another_path_query_or_body_has_another_signature() -> None:
    async with calling(little_app(), headers=JSON | KEY) as client:
        signatures = [
            (await client.post(path, content=body)).json()["hmac"]
            for path, body in [
                ("/attempt", b'{"a": 1}'),
                ("/attempt", b'{"a": 2}'),
                ("/attempt", b'{"a": "1"}'),
                ("/attempt", b""),
                ("/attempt?a=1", b'{"a": 1}'),
                ("/attempt/c-1", b'{"a": 1}'),
                ("/attempt/c-2", b'{"a": 1}'),
                ("/attempt", b'{"a": ' + b"9" * 30 + b"}"),
            ]
        ]
    assert len(set(signatures)) == len(signatures)


async def test_a_signature_cannot_be_made_without_the_secret() -> None:
    signatures = set()
    for secret in ("x" * 32, "y" * 32):
        settings = little_app().state.http.model_validate({"jwt_secret": "z" * 32, "app_secret": secret})
        async with calling(little_app(settings=settings), headers=JSON | KEY) as client:
            signatures.add((await client.post("/attempt", content=b"{}")).json()["hmac"])
    assert len(signatures) == 2


async def test_without_a_key_nothing_is_signed() -> None:
    async with calling(little_app()) as client:
        assert (await client.post("/attempt", json={})).json() == {
            "route": "little POST /attempt",
            "key": None,
            "hmac": "",
        }
