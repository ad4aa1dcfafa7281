"""Everything about a person, from all four services, in one file from the command line; nobody else gets any of it."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from deploy.system import System
from shared.http.auth import issue_token
from tests.e2e.test_one_purchase import bought
from tests.kit.builders import record
from tests.kit.system import publish

TILL, WEB, OTHER = "e2e:export-1", "e2e:export-2", "e2e:export-other"
NAME, NOTE, TEXT, PHOTO = (
    "Planted Export", "likes the corner seat", "The tea was stale", "https://shop.example/stale.jpg",
)  # fmt: skip
SCOPES = "profile:read engagement:read loyalty:read churn:read"


class Ended(NamedTuple):
    """How the command ended, and what it wrote."""

    exit_code: int | None
    stdout: str
    stderr: str


async def test_a_person_s_data_of_all_services_is_one_file_and_nobody_else_s_to_see(
    system: System, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    await command(http, "/profile/customers", {"customer_id": TILL, "name": NAME, "email": "export@example.com"})
    await command(http, "/profile/customers", {"customer_id": OTHER, "name": "Somebody Else"})
    await command(http, f"/profile/customers/{TILL}/notes", {"text": NOTE})
    orders = [(TILL, "exp-1", 90), (TILL, "exp-2", 70), (WEB, "exp-3", 65), (OTHER, "exp-4", 5)]
    await publish(
        system,
        [record("purchase-recorded", bought(who, order, total="1000.00", days_ago=ago)) for who, order, ago in orders],
    )
    written = {"customer_id": WEB, "channel": "web", "kind": "complaint", "text": TEXT, "photos": [PHOTO]}
    await command(http, "/engagement/feedback", written)
    await system.until_quiet(seconds=60)
    await command(http, "/profile/merges", {"from_id": WEB, "into_id": TILL})
    await system.until_quiet(seconds=60)
    await command(http, "/churn/scorings", {})
    await system.until_quiet(seconds=60)

    out = tmp_path / "person.json"
    done = await export(system, "admin", None, WEB, "--out", str(out))
    assert (done.exit_code, done.stderr) == (0, "")
    person: dict[str, Any] = json.loads(out.read_text())
    assert {name: part["customer_ids"] for name, part in person.items()} == {
        name: [TILL, WEB] for name in ("profile", "engagement", "loyalty", "churn")
    }
    assert OTHER not in out.read_text()
    assert NAME in {file["name"] for file in person["profile"]["files"]}
    assert [note["text"] for note in person["profile"]["notes"]] == [NOTE]
    assert [(one["text"], one["photos"]) for one in person["engagement"]["feedback"]] == [(TEXT, [PHOTO])]
    assert "complaint" in {one["kind"] for one in person["engagement"]["tasks"]}
    earned = [entry for entry in person["loyalty"]["entries"] if entry["kind"] == "earned"]
    points = {entry["source_id"]: entry["points"] for entry in earned}
    assert points.keys() == {"exp-1", "exp-2", "exp-3"}
    [score] = [one for one in person["churn"]["scores"] if one["customer_id"] == TILL]
    assert 0 < score["probability"] < 1
    assert {one["code"] for one in person["churn"]["forecasts"][0]["reasons"]} >= {"silence", "open-complaint"}

    his = await export(system, SCOPES, WEB, TILL)
    assert his.exit_code == 0, his.stderr
    assert json.loads(his.stdout).keys() == person.keys()
    assert all(word in his.stdout for word in (NAME, NOTE, TEXT, PHOTO, "exp-3"))
    others = await export(system, SCOPES, OTHER, TILL, "--out", str(tmp_path / "others.json"))
    assert (others.exit_code, others.stdout) == (1, "")
    assert f"nothing is held of {TILL}, or it isn't this token's to see" in others.stderr
    assert not (tmp_path / "others.json").exists()
    scopeless = await export(system, "profile:read", None, TILL)
    assert (scopeless.exit_code, scopeless.stdout) == (1, "")
    assert "engagement answers 403 insufficient-scope" in scopeless.stderr


async def export(system: System, scope: str, customer: str | None, whose: str, *options: str) -> Ended:
    """What the command does, as a process of its own: its stdout is the document and nothing else."""
    token = issue_token(system.secret, scope, customer)
    wanted = ["export", whose, "--url", system.url, *options]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", *wanted, stdout=PIPE, stderr=PIPE, env={**os.environ, "ROOST_TOKEN": token}
    )
    stdout, stderr = await process.communicate()
    return Ended(process.returncode, stdout.decode(), stderr.decode())


async def command(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    response = await http.post(path, json=body)
    assert response.is_success, response.text
