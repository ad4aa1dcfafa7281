from typing import Any

import pytest

from shared.contracts.compatibility import incompatibilities
from shared.contracts.schemas import event_schemas

STRING: dict[str, Any] = {"type": "string"}
NULLABLE: dict[str, Any] = {"anyOf": [STRING, {"type": "null"}], "default": None}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _between(old: Any, new: Any) -> list[str]:
    return incompatibilities({"e": old}, {"e": new})


def _field(old: Any, new: Any) -> list[str]:
    return _between(_object([], f=old), _object([], f=new))


def test_a_contract_is_compatible_with_itself() -> None:
    assert incompatibilities(event_schemas(), event_schemas()) == []


def test_a_topic_more_is_compatible_and_one_less_is_not() -> None:
    schemas = event_schemas()
    fewer = {name: schema for name, schema in schemas.items() if name != "tier-changed.v1.json"}
    assert incompatibilities(fewer, schemas) == []
    assert incompatibilities(schemas, fewer) == ["tier-changed.v1.json: removed"]


def test_another_optional_field_is_compatible() -> None:
    assert _between(_object(["a"], a=STRING), _object(["a"], a=STRING, b=NULLABLE)) == []


def test_a_removed_field_is_incompatible() -> None:
    assert _between(_object([], a=STRING, b=STRING), _object([], a=STRING)) == ["e: b was removed"]


def test_a_new_required_field_is_incompatible() -> None:
    assert _between(_object([], a=STRING), _object(["b"], a=STRING, b=STRING)) == ["e: b is new and required"]


def test_a_field_that_becomes_required_or_optional_is_incompatible() -> None:
    optional, required = _object([], a=STRING), _object(["a"], a=STRING)
    assert _between(optional, required) == ["e: a is now required"]
    assert _between(required, optional) == ["e: a is no longer required: readers count on it"]


def test_another_default_is_incompatible() -> None:
    assert _field({"type": "integer", "default": 1}, {"type": "integer", "default": 2}) == [
        "e: f has another default"
    ]
    assert _field({"type": "integer", "default": 1}, {"type": "integer"}) == ["e: f has another default"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (STRING, {"type": "integer"}),
        ({"type": "number"}, {"type": "integer"}),
        ({"type": "integer"}, {"type": "number"}),
        ({}, STRING),
        (STRING, {}),
        (STRING, NULLABLE),
        (NULLABLE, STRING | {"default": None}),
        (NULLABLE, {"anyOf": [*NULLABLE["anyOf"], {"type": "integer"}], "default": None}),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}),
        (STRING, {"enum": ["a"]}),
        ({"const": "a"}, {"const": "b"}),
        (STRING, STRING | {"pattern": "^a$"}),
        (STRING | {"pattern": "^a+$"}, STRING | {"pattern": "^a{1,9}$"}),
        (STRING, STRING | {"format": "date-time"}),
        (STRING, STRING | {"maxLength": 5}),
        (STRING | {"maxLength": 5}, STRING | {"maxLength": 4}),
        (STRING | {"minLength": 1}, STRING | {"minLength": 2}),
        ({"type": "integer", "maximum": 5}, {"type": "integer", "maximum": 4}),
        ({"type": "integer"}, {"type": "integer", "minimum": 0}),
        ({"type": "array", "items": STRING}, {"type": "array", "items": STRING, "maxItems": 5}),
        ({"type": "array", "items": STRING}, {"type": "array", "items": {"type": "integer"}}),
        ({"type": "array"}, {"type": "array", "items": STRING}),
        ({"type": "object"}, {"type": "object", "additionalProperties": False}),
        ({"type": "object"}, {"type": "object", "additionalProperties": STRING}),
        ({"type": "object"}, {"type": "object", "propertyNames": {"maxLength": 5}}),
        ({"type": "object"}, {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
    ],
)
def test_a_narrower_or_another_type_is_incompatible(old: Any, new: Any) -> None:
    assert len(_field(old, new)) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"enum": ["a"]}, {"enum": ["b", "a"]}),
        ({"enum": ["a"]}, STRING),
        (STRING | {"pattern": "^a$"}, STRING),
        (STRING | {"maxLength": 5}, STRING | {"maxLength": 6}),
        (STRING | {"maxLength": 5}, STRING),
        ({"type": "integer", "minimum": 1}, {"type": "integer", "minimum": 0}),
        ({"type": "object", "additionalProperties": False}, {"type": "object"}),
        (STRING | {"description": "old"}, STRING | {"description": "new", "title": "T"}),
        ({"anyOf": [STRING, {"type": "null"}]}, {"anyOf": [{"type": "null"}, STRING]}),
    ],
)
def test_a_wider_limit_enumeration_or_other_words_are_compatible(old: Any, new: Any) -> None:
    assert _field(old, new) == []


def test_a_fault_is_found_behind_references_and_named_by_its_path() -> None:
    def schema(amount: Any) -> Any:
        line = _object(["price"], price={"$ref": "#/$defs/Money"})
        money = _object(["amount"], amount=amount)
        data = _object([], lines={"type": "array", "items": {"$ref": "#/$defs/Line"}})
        return _object(["data"], data=data) | {"$defs": {"Line": line, "Money": money}}

    narrowed = STRING | {"pattern": "^[0-9]$"}
    assert _between(schema(STRING), schema(narrowed)) == ["e: data.lines[].price.amount has another pattern"]


def test_a_type_that_holds_itself_is_compared_once() -> None:
    def schema(name: Any) -> Any:
        node = _object([], name=name, children={"type": "array", "items": {"$ref": "#/$defs/Node"}})
        return {"$ref": "#/$defs/Node", "$defs": {"Node": node}}

    assert _between(schema(STRING), schema(STRING)) == []
    assert _between(schema(STRING), schema({"type": "integer"})) == ["e: name was string, is integer"]


def test_removing_any_field_of_any_published_type_is_found() -> None:
    schemas = event_schemas()
    for name, schema in schemas.items():
        for owner, definition in schema["$defs"].items():
            for field in definition.get("properties", ()):
                kept = {key: value for key, value in definition["properties"].items() if key != field}
                changed = schema | {"$defs": schema["$defs"] | {owner: definition | {"properties": kept}}}
                found = incompatibilities({name: schema}, {name: changed})
                assert any(line.endswith(f"{field} was removed") for line in found), f"{name}: {owner}.{field}"
