"""Whether a contract may follow another under the same version: events and readers of the old one go on.

Compatible: another optional field, another topic, a value more in an enumeration, a wider limit, other words.
Everything else needs the next version. What cannot be judged (a changed pattern) counts as incompatible.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_NESTED = {"items": "[]", "additionalProperties": ".*", "propertyNames": " (names)"}
_WORDS = ("$schema", "$id", "$defs", "$comment", "title", "description", "examples", "deprecated")
_JUDGED = frozenset(
    (*_AT_LEAST, *_AT_MOST, *_NESTED, *_WORDS, "type", "enum", "const", "default", "properties", "required")
)
_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def incompatibilities(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[str]:
    """What in ``new`` breaks who relies on ``old``; both map names to JSON Schemas. Empty if nothing does."""
    found = [f"{name}: removed" for name in sorted(old.keys() - new.keys())]
    for name in sorted(old.keys() & new.keys()):
        found += (f"{name}: {fault.strip()}" for fault in _Comparison(old[name], new[name]).faults())
    return found


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new
        self._open: set[tuple[str, str]] = set()

    def faults(self) -> list[str]:
        return list(self._compare(self._old, self._new, ""))

    def _compare(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        pair = (old.get("$ref", ""), new.get("$ref", ""))
        if all(pair):
            if pair in self._open:
                return
            self._open.add(pair)
        old, new = _resolved(old, self._old), _resolved(new, self._new)
        if "default" in old and ("default" not in new or old["default"] != new["default"]):
            yield f"{at} has another default"
        befores, afters = _alternatives(old, self._old), _alternatives(new, self._new)
        for before in befores:
            alike = [after for after in afters if _types(after) == _types(before)] or afters
            yield from min((list(self._narrowings(before, after, at)) for after in alike), key=len)
        known = [_types(before) for before in befores]
        for after in afters:
            if _types(after) not in known and len(afters) > 1:
                yield f"{at} may now be {_types(after)}, which readers do not expect"
        self._open.discard(pair)

    def _narrowings(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        if _types(old) != _types(new):
            yield f"{at} was {_types(old)}, is {_types(new)}"
            return
        yield from _values(old, new, at)
        yield from _limits(old, new, at)
        for keyword in sorted(new.keys() - _JUDGED):
            if new[keyword] != old.get(keyword):
                yield f"{at} has another {keyword}"
        yield from self._fields(old, new, at)
        for keyword, mark in _NESTED.items():
            yield from self._nested(old.get(keyword, True), new.get(keyword, True), at + mark)

    def _fields(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for name in before:
            field = f"{at}.{name}".lstrip(".")
            if name not in after:
                yield f"{field} was removed"
                continue
            if name in needs - needed:
                yield f"{field} is now required"
            if name in needed - needs:
                yield f"{field} is no longer required: readers count on it"
            yield from self._compare(before[name], after[name], field)
        for name in sorted(needs - needed - before.keys()):
            yield f"{at}.{name}".lstrip(".") + " is new and required"

    def _nested(self, old: Schema | bool, new: Schema | bool, at: str) -> Iterator[str]:
        if new is True or old is False:
            return
        if new is False:
            yield f"{at} is no longer allowed"
            return
        yield from self._compare({} if old is True else old, new, at)


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target = root["$defs"][reference.removeprefix("#/$defs/")]
    return {**target, **{keyword: value for keyword, value in schema.items() if keyword != "$ref"}}


def _alternatives(schema: Schema, root: Schema) -> list[Schema]:
    beside = {keyword: value for keyword, value in schema.items() if keyword not in ("anyOf", "default")}
    return [{**beside, **_resolved(choice, root)} for choice in schema.get("anyOf", ({},))]


def _types(schema: Schema) -> str:
    stated = schema.get("type")
    if stated is not None:
        return stated if isinstance(stated, str) else " or ".join(sorted(stated))
    values = _allowed(schema)
    return " or ".join(sorted({_JSON_TYPES[type(value)] for value in values})) if values else "anything"


def _allowed(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _values(old: Schema, new: Schema, at: str) -> Iterator[str]:
    before, after = _allowed(old), _allowed(new)
    if after is None:
        return
    if before is None:
        yield f"{at} takes listed values only"
        return
    for value in before:
        if value not in after:
            yield f"{at} no longer takes {value!r}"


def _limits(old: Schema, new: Schema, at: str) -> Iterator[str]:
    for keyword in _AT_LEAST:
        if keyword in new and (keyword not in old or new[keyword] > old[keyword]):
            yield f"{at} has a narrower {keyword}: {new[keyword]}"
    for keyword in _AT_MOST:
        if keyword in new and (keyword not in old or new[keyword] < old[keyword]):
            yield f"{at} has a narrower {keyword}: {new[keyword]}"

