"""Serving behind a gateway that takes a prefix off."""

import asyncio
import contextlib

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from deploy import server
from deploy.environment import ServerSettings
from deploy.server import listen, serving
from shared.http.app import create_app
from shared.http.settings import HttpSettings


async def test_documentation_is_found_behind_a_gateway_and_the_service_answers_without_it() -> None:
    settings = HttpSettings(jwt_secret=SecretStr("s" * 32))
    app = create_app(title="Roost profile", service="profile", settings=settings, routers=[])
    with contextlib.closing(listen("127.0.0.1", 0)) as listener:
        async with serving(app, listener, "/profile") as url, httpx.AsyncClient(base_url=url) as http:
            assert "'/profile/openapi.json'" in (await http.get("/docs")).text
            assert (await http.get("/openapi.json")).json()["servers"] == [{"url": "/profile"}]
            assert (await http.get("/health/live")).status_code == 200


async def test_a_connection_that_rests_is_kept_for_as_long_as_is_said_and_longer_than_proxies_keep_it(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    """One second here, where uvicorn's own five would be over the test's three."""
    assert server.KEEP_ALIVE_SECONDS > 60
    monkeypatch.setattr(server, "KEEP_ALIVE_SECONDS", 1)
    settings = HttpSettings(jwt_secret=SecretStr("s" * 32))
    app = create_app(title="Roost", service="profile", settings=settings, routers=[])
    with contextlib.closing(listen("127.0.0.1", 0)) as listener:
        async with serving(app, listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: roost\r\n\r\n")
            async with asyncio.timeout(3):
                assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()


def test_a_root_path_starts_with_a_slash_and_ends_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOST_ROOT_PATH", "/profile")
    assert ServerSettings().root_path == "/profile"
    for wrong in ("profile", "/profile/", "/pro file", "//"):
        monkeypatch.setenv("ROOST_ROOT_PATH", wrong)
        with pytest.raises(ValidationError):
            ServerSettings()
