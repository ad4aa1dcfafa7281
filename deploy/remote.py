"""Talking to the running system of a data directory, from another command."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import typer

from deploy.local.secrets import load_or_create_secret
from shared.http.auth import issue_token

RUNNING = "running.json"
"""Where a running system says where it is (0600), in its data directory."""


@dataclass(frozen=True, slots=True)
class Remote:
    """The HTTP side of a system, asked as admin."""

    url: str
    client: httpx.Client

    def get(self, path: str, **params: Any) -> Any:
        """The JSON answer. Ends the command with the problem's detail on an error."""
        return self._asked("GET", path, params=_given(params))

    def post(self, path: str) -> Any:
        """The same for a POST without a body."""
        return self._asked("POST", path)

    def send(self, path: str, body: Iterator[bytes], media: str, **params: Any) -> Any:
        """The same for a POST of a file in pieces."""
        return self._asked("POST", path, params=_given(params), content=body, headers={"Content-Type": media})

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        cursor = None
        while True:
            page = self.get(path, cursor=cursor, limit=200, **params)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _asked(self, method: str, path: str, **how: Any) -> Any:
        try:
            response = self.client.request(method, path, **how)
        except httpx.HTTPError as error:
            raise typer.BadParameter(f"{self.url} does not answer: {error or type(error).__name__}") from error
        if response.is_error:
            raise typer.BadParameter(told(response)[1])
        return response.json()


def told(response: httpx.Response) -> tuple[str, str]:
    """A problem's code, and the problem in a line, with the places that it names."""
    problem = response.json() if "json" in response.headers.get("content-type", "") else {}
    places = [f"{one['pointer'] or '/'}: {one['message']}" for one in problem.get("errors", ())]
    code, detail = problem.get("code", response.reason_phrase), problem.get("detail", "")
    said = f"{response.status_code} {code}: {detail.removesuffix('.')}".removesuffix(": ")
    return code, "; ".join([said, *(one for one in places if detail not in one)])


def _given(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def at(url: str, token: str) -> Remote:
    """The system behind a gateway's address, asked with a token."""
    client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=600)
    return Remote(url, client)


def remote(data: Path) -> Remote:
    """The system that runs on the data directory. Ends the command when none does."""
    try:
        running = json.loads((data / RUNNING).read_text())
    except FileNotFoundError:
        raise typer.BadParameter(f"no system runs on {data}: start one with ./roost up --data {data}") from None
    token = issue_token(load_or_create_secret(data), "admin")
    client = httpx.Client(base_url=running["url"], headers={"Authorization": f"Bearer {token}"}, timeout=30)
    try:
        client.get("/health/live").raise_for_status()
    except httpx.HTTPError:
        raise typer.BadParameter(f"the system of {data} does not answer: ./roost up --data {data}") from None
    return Remote(running["url"], client)
