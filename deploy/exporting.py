"""``./roost export CUSTOMER_ID``: everything that the four services hold of one person, in one file."""

import os
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx
import msgspec
import typer

from deploy.remote import Remote, told

_UNKNOWN = "not-found"
"""The code of what isn't there, or isn't the caller's to see."""
Document = dict[str, msgspec.Raw]


class Refused(Exception):
    """A service did not give its part; the text says which one, and why."""


def export_person(system: Remote, customer_id: str, out: Path | None) -> None:
    """Writes {profile, engagement, loyalty, churn} to ``out``, for its owner's eyes alone, or to stdout.

    A service that holds nothing of him has null. Ends the command with 1, and writes nothing, where one doesn't answer
    or nobody is known by that id.
    """
    if out is not None and not out.parent.is_dir():
        raise typer.BadParameter(f"there is no directory {out.parent}", param_hint="--out")
    try:
        with closing(system.client):
            parts = {service: _part(system, service, route, customer_id) for service, route in _routes().items()}
        if not any(parts.values()):
            raise Refused(f"nothing is held of {customer_id}, or it isn't this token's to see")
    except Refused as refused:
        print(f"no export: {refused}", file=sys.stderr)
        raise typer.Exit(1) from refused
    for remark in _remarks(parts):
        print(remark, file=sys.stderr)
    document = msgspec.json.format(msgspec.json.encode(parts), indent=2) + b"\n"
    if out is None:
        typer.echo(document, nl=False)
        return
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        # A file that was there keeps its mode otherwise.
        os.fchmod(file.fileno(), 0o600)
        file.write(document)


def _routes() -> Mapping[str, str]:
    from services.profile.exports.application import ELSEWHERE
    from shared.contracts.topics import SERVICES

    routes = {"profile": "/customers/{customer_id}/export", **{name: one for name, [one] in ELSEWHERE.items()}}
    return {service: f"/{service}{routes[service]}" for service in SERVICES}


def _part(system: Remote, service: str, route: str, customer_id: str) -> Document | None:
    path = route.format(customer_id=quote(customer_id, safe=":~"))
    try:
        answer = system.client.get(path, headers={"X-Purpose": "export"})
    except httpx.HTTPError as error:
        raise Refused(f"{service} does not answer: {error or type(error).__name__}") from error
    if answer.is_error:
        code, said = told(answer)
        if answer.status_code == 404 and code == _UNKNOWN:
            return None
        raise Refused(f"{service} answers {said}")
    try:
        document = msgspec.json.decode(answer.content, type=Document)
    except msgspec.DecodeError:
        document = {}
    if "customer_ids" not in document:
        raise Refused(f"{service} answers what is no export: is {system.url} a gateway of ours?")
    return document


def _remarks(parts: Mapping[str, Document | None]) -> list[str]:
    given = {service: part for service, part in parts.items() if part is not None}
    remarks = [f"{service} holds nothing of him" for service in parts if service not in given]
    if len({bytes(part["customer_ids"]) for part in given.values()}) > 1:
        remarks.append("the services don't know him by the same ids: a merge is on its way; ask again in a moment")
    return remarks
