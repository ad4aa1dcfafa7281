import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from shared.contracts import asyncapi, schemas
from shared.contracts.topics import SERVICES, TOPICS
from shared.messaging.envelope import Envelope

ASYNCAPI = json.loads((schemas.FOLDER / "asyncapi.json").read_text())


def test_the_committed_files_are_what_the_types_generate() -> None:
    assert schemas.stale() == []


@pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
def test_every_type_has_a_valid_schema_of_its_whole_event(topic: Any) -> None:
    schema = schemas.event_schemas()[f"{topic.type}.json"]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["type"] == {"const": topic.type}
    assert schema["$defs"][topic.data.__name__]["properties"].keys() == set(topic.data.__struct_encode_fields__)


def test_the_schema_has_the_attributes_that_the_envelope_reads() -> None:
    schema = schemas.event_schema(TOPICS["purchase-recorded"])
    assert schema["properties"].keys() == set(Envelope.__struct_fields__)
    fields = msgspec.structs.fields(Envelope)
    assert {field.name for field in fields if field.required} == set(schema["required"]) - {"data"}


@pytest.mark.skipif(shutil.which("node") is None, reason="no ECMAScript engine on this machine")
def test_every_pattern_means_the_same_in_ecmascript() -> None:
    patterns = sorted(set(re.findall(r'"pattern": (".*?(?<!\\)")', "".join(schemas.documents().values()))))
    samples = [
        "",
        "a",
        "a\n",
        "pos:1",
        "0",
        "0.000",
        "1.5",
        "1.5\n",
        "1000000",
        "1000001",
        "１",
        "x" * 129,
        "a\u0085b",
    ]
    assert len(patterns) >= 4
    expected = [[bool(re.search(json.loads(pattern), sample)) for sample in samples] for pattern in patterns]
    script = (
        f"const samples = {json.dumps(samples)};"
        f"console.log(JSON.stringify([{','.join(patterns)}].map("
        "p => samples.map(s => new RegExp(p, 'u').test(s)))))"
    )
    ran = subprocess.run(["node", "-e", script], capture_output=True, check=True, text=True)
    assert json.loads(ran.stdout) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", "NaN"),
        ("amount", "1_000"),
        ("amount", "１２"),
        ("amount", "1e400"),
        ("amount", "12\n"),
        ("amount", "-1"),
        ("currency", "XXX"),
        ("currency", "twd"),
    ],
)
def test_a_schema_refuses_money_that_the_type_refuses(field: str, value: str) -> None:
    event = _example("purchase-recorded")
    event["data"]["total"][field] = value
    with pytest.raises(jsonschema.ValidationError, match=re.escape(repr(value))):
        jsonschema.validate(event, schemas.event_schema(TOPICS["purchase-recorded"]))


def test_the_schema_of_a_return_wants_lines_or_an_amount_and_not_both() -> None:
    validator = jsonschema.Draft202012Validator(schemas.event_schema(TOPICS["purchase-returned"]))
    event = _example("purchase-returned")
    lines = event["data"].pop("lines")
    assert not validator.is_valid(event)
    event["data"]["amount"] = {"amount": "5.00", "currency": "TWD"}
    assert validator.is_valid(event)
    event["data"]["lines"] = lines
    assert not validator.is_valid(event)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    references = list(_references(ASYNCAPI))
    assert references
    for reference in references:
        if reference.startswith("#/"):
            found = ASYNCAPI
            for step in reference[2:].split("/"):
                found = found[step]
        else:
            assert (schemas.FOLDER / reference).is_file()


def test_every_topic_has_a_channel_with_its_key_and_is_sent_or_received() -> None:
    document = asyncapi.document()
    assert document["channels"].keys() == TOPICS.keys()
    operations = document["operations"]
    for topic in TOPICS.values():
        assert f"data.{topic.key}" in document["channels"][topic.name]["description"]
        for service in (*topic.publishers, *topic.also):
            assert operations[f"{service}.sends.{topic.name}"]["action"] == "send"
        if not topic.publishers:
            assert all(f"{service}.receives.{topic.name}" in operations for service in SERVICES)


def test_check_names_the_file_that_is_stale_missing_or_too_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schemas.write(tmp_path)
    assert schemas.main(["check"], tmp_path) == 0
    (tmp_path / "asyncapi.json").write_text("{}")
    (tmp_path / "schemas" / "tier-changed.v1.json").unlink()
    (tmp_path / "schemas" / "tier-lost.v1.json").write_text("{}")
    assert schemas.stale(tmp_path) == [
        "asyncapi.json",
        "schemas/tier-changed.v1.json",
        "schemas/tier-lost.v1.json",
    ]
    assert schemas.main(["check"], tmp_path) == 1
    assert "schemas/tier-changed.v1.json: not what the types generate" in capsys.readouterr().err
    assert schemas.main(["write"], tmp_path) == 0
    assert schemas.stale(tmp_path) == []


def test_check_fails_on_what_breaks_the_release_in_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    released = _release_with_another_field(tmp_path)
    assert schemas.main(["check", "--against", str(released)]) == 1
    assert "tier-changed.v1.json: data.reason was removed" in capsys.readouterr().err


def test_check_fails_on_what_breaks_the_last_commit_or_a_ref(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _release_with_another_field(tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "release"], check=True)
    subprocess.run([*git, "tag", "v1"], check=True)
    schemas.write(tmp_path)
    for arguments in (["check"], ["check", "--against", "v1"]):
        assert schemas.main(arguments, tmp_path) == 1
        assert "tier-changed.v1.json: data.reason was removed" in capsys.readouterr().err
    assert schemas.main(["check", "--against", "v2"], tmp_path) == 2
    assert "'v2' is neither" in capsys.readouterr().err


def _release_with_another_field(folder: Path) -> Path:
    schemas.write(folder)
    path = folder / "schemas" / "tier-changed.v1.json"
    schema = json.loads(path.read_text())
    schema["$defs"]["TierChanged"]["properties"]["reason"] = {"type": "string"}
    path.write_text(json.dumps(schema))
    return path.parent


def _example(topic: str) -> dict[str, Any]:
    text = (schemas.FOLDER / "examples" / f"{topic}.v1.json").read_text(encoding="utf-8")
    example: dict[str, Any] = json.loads(text)
    return example


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    return [found for value in node for found in _references(value)] if isinstance(node, list) else []
