"""``./roost export`` writes the whole or nothing, and says which service is missing."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from deploy.exporting import export_person
from deploy.remote import Remote

IDS = ["pos:1", "web:1"]
NOT_FOUND = {"code": "not-found", "detail": "There is nothing here that you may see."}


def system(**given: Callable[[], httpx.Response]) -> Remote:
    """A gateway behind which each service gives an export, but for those that are ``given``."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path.endswith("/pos:1/export")
        service = request.url.path.split("/")[1]
        whole: dict[str, Any] = {"customer_ids": IDS, "of": service}
        return given[service]() if service in given else httpx.Response(200, json=whole)

    return Remote("http://roost", httpx.Client(base_url="http://roost", transport=httpx.MockTransport(answer)))


def test_the_four_parts_are_one_file_that_nobody_else_may_read(tmp_path: Path) -> None:
    out = tmp_path / "pos-1.json"
    out.write_text("of yesterday")
    out.chmod(0o644)
    export_person(system(), "pos:1", out)
    written = json.loads(out.read_text())
    assert {name: part["of"] for name, part in written.items()} == {name: name for name in written}
    assert list(written) == ["profile", "engagement", "loyalty", "churn"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def refused(_: None = None) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (refused, "no export: loyalty does not answer: connection refused"),
        (lambda: httpx.Response(502, html="<h1>bad</h1>"), "no export: loyalty answers 502 Bad Gateway\n"),
        (lambda: httpx.Response(404, html="<h1>none</h1>"), "no export: loyalty answers 404 Not Found\n"),
        (lambda: httpx.Response(410, json={"code": "customer-erased"}), "loyalty answers 410 customer-erased"),
        (lambda: httpx.Response(200, html="<h1>welcome</h1>"), "loyalty answers what is no export"),
        (lambda: httpx.Response(200, json={"status": "fine"}), "loyalty answers what is no export"),
    ],
)
def test_where_a_service_does_not_answer_it_is_named_and_nothing_is_written(
    given: Callable[[], httpx.Response], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        export_person(system(loyalty=given), "pos:1", tmp_path / "out.json")
    assert ended.value.exit_code == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_service_that_holds_nothing_of_him_is_named_and_the_others_are_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    export_person(system(loyalty=lambda: httpx.Response(404, json=NOT_FOUND)), "pos:1", None)
    told = capsys.readouterr()
    assert json.loads(told.out)["loyalty"] is None
    assert told.err == "loyalty holds nothing of him\n"


def test_of_whom_nobody_holds_anything_there_is_no_export(capsys: pytest.CaptureFixture[str]) -> None:
    none = {name: lambda: httpx.Response(404, json=NOT_FOUND) for name in ("profile", "engagement", "loyalty", "churn")}
    with pytest.raises(typer.Exit) as ended:
        export_person(system(**none), "pos:1", None)
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "no export: nothing is held of pos:1, or it isn't this token's to see\n"


def test_a_merge_on_its_way_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    export_person(system(churn=lambda: httpx.Response(200, json={"customer_ids": ["pos:1"]})), "pos:1", None)
    assert "don't know him by the same ids" in capsys.readouterr().err


def test_a_directory_that_is_not_there_is_said_before_anybody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="there is no directory"):
        export_person(system(profile=refused), "pos:1", tmp_path / "none" / "out.json")
