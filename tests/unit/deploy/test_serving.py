"""Serving behind a gateway that takes a prefix off."""

import contextlib

import httpx
import pytest
from pydantic import SecretStr, ValidationError

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


def test_a_root_path_starts_with_a_slash_and_ends_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOST_ROOT_PATH", "/profile")
    assert ServerSettings().root_path == "/profile"
    for wrong in ("profile", "/profile/", "/pro file", "//"):
        monkeypatch.setenv("ROOST_ROOT_PATH", wrong)
        with pytest.raises(ValidationError):
            ServerSettings()
