"""Who may do what, and what those learn who may not."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import time_machine
from fastapi import APIRouter
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.http.auth import Principal, Tokens, issue_token, public
from shared.http.problems import ProblemError
from shared.http.routing import Router
from shared.http.settings import HttpSettings
from tests.unit.shared.little_app import SECRET, SETTINGS, bearer, calling, little_app, problem

SOON = datetime.now(UTC) + timedelta(hours=1)


def signed(claims: dict[str, Any], key: str = SECRET, algorithm: str = "HS256") -> dict[str, str]:
    return {"Authorization": f"Bearer {jwt.encode(claims, key, algorithm=algorithm)}"}


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_without_a_token_nobody_gets_in() -> None:
    async with calling(little_app()) as client:
        response = await client.get("/orders")
    problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == 'Bearer realm="roost"'


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic dTpw"},
        {"Authorization": "Bearer " + "[" * 60_000},
        {"Authorization": f"Bearer {base64.urlsafe_b64encode(b'[' * 40_000).decode()}.e30.e30"},
        {"Authorization": f"Bearer {base64.urlsafe_b64encode(b'9' * 5_000).decode()}.e30.e30"},
        {"Authorization": f"Bearer {part({'alg': 'none'})}.{part({'sub': 'x', 'exp': 4102444800})}."},
        signed({"sub": "x", "scope": "admin", "exp": SOON}, key="another secret, which is long enough too"),
        signed({"sub": "x", "scope": "admin", "exp": SOON}, algorithm="HS512"),
        signed({"sub": "x", "scope": "admin"}),
        signed({"scope": "admin", "exp": SOON}),
        signed({"sub": "x", "scope": ["admin"], "exp": SOON}),
        signed({"sub": "x", "scope": "admin", "exp": SOON, "customer_id": 7}),
        signed({"sub": "x", "scope": "admin", "exp": SOON, "customer_id": ""}),
        signed({"sub": "x", "scope": "admin", "exp": SOON - timedelta(hours=2)}),
    ],
    ids=range(15),
)
async def test_a_token_that_is_not_valid_is_refused(headers: dict[str, str]) -> None:
    async with calling(little_app()) as client:
        response = await client.get("/orders", headers=headers)
    problem(response, 401, "unauthorized")
    assert "error=" in response.headers["www-authenticate"]


async def test_a_token_lacks_the_scope() -> None:
    async with calling(little_app()) as client:
        problem(await client.get("/orders", headers=bearer("orders:write")), 403, "insufficient-scope")
        problem(await client.get("/orders", headers=bearer("")), 403, "insufficient-scope")
        assert (await client.get("/orders", headers=bearer("x orders:read"))).status_code == 200


async def test_admin_includes_every_scope() -> None:
    async with calling(little_app()) as client:
        assert (await client.get("/orders", headers=bearer("admin"))).status_code == 200


async def test_a_customer_sees_himself_and_nobody_else() -> None:
    async with calling(little_app(), headers=bearer("orders:read", "c-1")) as client:
        assert (await client.get("/orders/c-1")).json() == {"customer_id": "c-1"}
        problem(await client.get("/orders/c-2"), 404, "not-found")


async def test_even_as_admin_a_customer_sees_nobody_else() -> None:
    async with calling(little_app(), headers=bearer("admin", "c-1")) as client:
        problem(await client.get("/orders/c-2"), 404, "not-found")


async def test_lists_are_closed_to_customers() -> None:
    async with calling(little_app(), headers=bearer("orders:read", "c-1")) as client:
        problem(await client.get("/orders"), 403, "staff-only")


def test_a_customer_may_see_every_id_that_is_his_own() -> None:
    customer = Principal("x", frozenset(), "c-old")
    assert customer.may_see("c-new", "c-old", "c-older")
    assert not customer.may_see("c-new", "c-other")
    assert Principal("x", frozenset()).may_see("c-new")


async def test_a_remembered_token_still_expires() -> None:
    tokens = Tokens(SETTINGS)
    start = datetime.now(UTC)
    token = issue_token(SECRET, "admin", ttl=timedelta(minutes=5), now=start)
    assert (await tokens.principal(token)).has("anything")
    with time_machine.travel(start + timedelta(minutes=4, seconds=59), tick=False):
        await tokens.principal(token)
    with time_machine.travel(start + timedelta(minutes=5), tick=False), pytest.raises(ProblemError) as refused:
        await tokens.principal(token)
    assert refused.value.status == 401


async def test_issuer_and_audience_are_checked_where_they_are_set() -> None:
    tokens = Tokens(SETTINGS.model_copy(update={"jwt_issuer": "https://id", "jwt_audience": "roost"}))
    claims = {"sub": "x", "scope": "a", "exp": SOON, "iss": "https://id", "aud": "roost"}
    assert (await tokens.principal(jwt.encode(claims, SECRET))).subject == "x"
    for wrong in ({"iss": "https://other"}, {"aud": "other"}):
        with pytest.raises(ProblemError):
            await tokens.principal(jwt.encode({**claims, **wrong}, SECRET))


@given(
    st.text(max_size=80)
    | st.tuples(st.binary(), st.binary(), st.binary()).map(
        lambda parts: ".".join(base64.urlsafe_b64encode(p).decode() for p in parts)
    )
)
async def test_any_text_is_a_token_or_refused(text: str) -> None:
    with pytest.raises(ProblemError) as refused:
        await Tokens(SETTINGS).principal(text)
    assert refused.value.status == 401


async def test_a_route_that_does_not_say_who_may_call_it_answers_nobody_and_is_in_no_document() -> None:
    router = Router()

    @router.get("/open")
    async def forgotten() -> str:
        return "what nobody should see"

    app = little_app(routers=[router])
    async with calling(app) as client:
        for _ in range(2):
            problem(await client.get("/open", headers=bearer("admin")), 500, "internal-error")
    router = Router()
    router.get("/open")(forgotten)
    with pytest.raises(TypeError, match="/open"):
        little_app(routers=[router]).openapi()


async def test_a_route_costs_nothing_before_it_is_asked_for() -> None:
    router = Router(dependencies=[public()])
    for path in ("/asked", "/resting"):
        router.get(path)(lambda: "here")
    asked, resting = router.routes
    async with calling(little_app(routers=[router])) as client:
        assert (await client.get("/asked")).json() == "here"
        problem(await client.post("/resting"), 405, "method-not-allowed")
    assert "dependant" in vars(asked)
    assert "dependant" not in vars(resting)


def test_a_router_without_gates_does_not_start() -> None:
    router = APIRouter()

    @router.get("/plain")
    async def plain() -> None: ...

    with pytest.raises(TypeError, match="Router"):
        little_app(routers=[router])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"jwt_secret": "too short"},
        {"jwt_secret": SECRET, "jwks_url": "https://id/keys"},
        {"jwks_url": "https://id/keys"},
    ],
)
def test_settings_name_one_way_to_check_tokens(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        HttpSettings.model_validate(settings)
