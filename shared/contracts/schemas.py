"""JSON Schema (2020-12) of every event type, generated from the types and committed beside them.

``python -m shared.contracts.schemas write`` writes ``schemas/<topic>.v<n>.json`` and ``asyncapi.json``.
``… check [--against <folder or git ref>]`` fails when they are stale, or break what stands at that release
(default: the last commit).
"""

import argparse
import inspect
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from shared.contracts import asyncapi
from shared.contracts.compatibility import incompatibilities
from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.snapshots import committed, in_folder
from shared.contracts.topics import TOPICS, Topic
from shared.contracts.types import PRINTABLE

FOLDER = Path(__file__).parent
_FLAT_LIST = re.compile(r"\[\n\s+([^\[\]{}]*?)\n\s+\]")
_BREAK = re.compile(r"\n\s+")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ATTRIBUTE = {"type": "string", "pattern": PRINTABLE}
_OPTIONAL = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
_CURRENCY = {"description": "ISO 4217, active codes", "enum": sorted(MINOR_UNITS)}
_LINES_OR_AMOUNT = [
    {"required": ["lines"], "properties": {"lines": {"minItems": 1}, "amount": {"type": "null"}}},
    {"required": ["amount"], "properties": {"lines": {"maxItems": 0}, "amount": {"type": "object"}}},
]


def event_schema(topic: Topic) -> dict[str, Any]:
    """The schema of a whole event of the topic in CloudEvents' structured mode."""
    (data,), definitions = msgspec.json.schema_components([topic.data], ref_template="#/$defs/{name}")
    return {
        "$schema": _DIALECT,
        "$id": f"urn:roost:event:{topic.type}",
        "title": topic.type,
        "description": inspect.cleandoc(topic.data.__doc__ or ""),
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": _ATTRIBUTE,
            "source": _ATTRIBUTE,
            "type": {"const": topic.type},
            "time": {"type": "string", "format": "date-time"},
            "data": data,
            "subject": _OPTIONAL,
            "datacontenttype": _OPTIONAL,
            "backfill": {"enum": [False, True, "false", "true"], "default": False},
            "traceparent": _OPTIONAL,
        },
        "required": ["specversion", "id", "source", "type", "time", "data"],
        "$defs": _stated(definitions),
    }


def event_schemas() -> dict[str, dict[str, Any]]:
    """Every event's schema by its file name."""
    return {f"{topic.type}.json": _plain(event_schema(topic)) for topic in TOPICS.values()}


def documents() -> dict[str, str]:
    """The generated files: path below the contracts' folder, text."""
    schemas = {f"schemas/{name}": _text(schema) for name, schema in event_schemas().items()}
    return {**schemas, "asyncapi.json": _text(asyncapi.document())}


def write(folder: Path = FOLDER) -> None:
    """Writes the generated files and removes schemas of types that are gone."""
    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    for path, text in documents().items():
        (folder / path).write_text(text, encoding="utf-8")
    for path in _unknown(folder):
        (folder / path).unlink()


def stale(folder: Path = FOLDER) -> list[str]:
    """The files that are not what the types generate: changed, missing or too many."""
    changed = [
        path
        for path, text in documents().items()
        if not (folder / path).is_file() or (folder / path).read_text(encoding="utf-8") != text
    ]
    return sorted(changed + _unknown(folder))


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """The command: 0 when all is well, 1 with the faults on stderr, 2 for a snapshot that cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m shared.contracts.schemas")
    parser.add_argument("action", choices=("write", "check"))
    parser.add_argument("--against", metavar="FOLDER|REF", help="a folder of schemas, or a git ref")
    options = parser.parse_args(arguments)
    if options.action == "write":
        write(folder)
        return 0
    faults = [f"{path}: not what the types generate: run the command `write`" for path in stale(folder)]
    try:
        faults += incompatibilities(_baseline(options.against, folder), event_schemas())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _baseline(against: str | None, folder: Path) -> dict[str, Any]:
    if against is not None and Path(against).is_dir():
        return in_folder(Path(against))
    found = committed(folder, against or "HEAD")
    if found is not None:
        return found
    if against is not None:
        raise ValueError(f"{against!r} is neither a folder of schemas nor a git ref that has them")
    return in_folder(folder / "schemas")


def _stated(definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions with what the types check in code and JSON Schema can say."""
    for definition in definitions.values():
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
        if "currency" in definition["properties"]:
            definition["properties"]["currency"] = {"$ref": "#/$defs/Currency"}
            definitions = {**definitions, "Currency": _CURRENCY}
    if "PurchaseReturned" in definitions:
        definitions["PurchaseReturned"]["oneOf"] = _LINES_OR_AMOUNT
    return definitions


def _unknown(folder: Path) -> list[str]:
    known = documents()
    found = (f"schemas/{path.name}" for path in (folder / "schemas").glob("*.json"))
    return sorted(path for path in found if path not in known)


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """As JSON holds it: a default of ``()`` is a list."""
    plain: dict[str, Any] = json.loads(json.dumps(schema))
    return plain


def _text(document: dict[str, Any]) -> str:
    """Indented JSON, with lists of plain values on one line."""
    indented = json.dumps(document, indent=2, ensure_ascii=False)
    return _FLAT_LIST.sub(lambda found: "[" + _BREAK.sub(" ", found[1]) + "]", indented) + "\n"


if __name__ == "__main__":
    sys.exit(main())
