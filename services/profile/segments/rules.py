"""Rules of a shop's own: trees of conditions on facts, read from JSON with the place of whatever is wrong."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from services.profile.attributes.domain import AttributeType
from services.profile.segments.facts import ATTRIBUTE, FACTS, MONEY, Fact, FactKind, kind_of

MAX_DEPTH, MAX_NODES, MAX_VALUES = 10, 200, 200
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
OPERATORS: Mapping[FactKind, tuple[str, ...]] = {
    "number": ("=", "!=", "<", "<=", ">", ">=", "in", "known"),
    "text": ("=", "!=", "in", "known"),
    "list": ("contains", "known"),
    "attribute": ("=", "!=", "<", "<=", ">", ">=", "in", "known"),
}
_UNORDERED = ("=", "!=", "in")
_NO_TYPES: Mapping[str, AttributeType] = {}
_DAYS = frozenset(name for name in FACTS if name.startswith("days_since_"))
_LARGEST = 10**18
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


class InvalidRule(ValueError):
    """What is wrong, and the JSON pointer of the node, from the rule's root."""

    code = "invalid-rule"

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class Condition:
    """A fact against a value. Of a fact that isn't known nothing holds but ``known`` false."""

    fact: str
    op: str
    value: Any

    def holds(self, facts: Mapping[str, Fact]) -> bool:
        """Whether it is so."""
        fact = facts[self.fact]
        if self.op == "known":
            return (fact not in (None, ())) is self.value
        if self.fact.startswith(ATTRIBUTE):
            fact = _as(self.value[0] if self.op == "in" else self.value, fact)
        if fact is None:
            return False
        if self.op == "in":
            return fact in self.value
        if self.op == "contains":
            return isinstance(fact, tuple) and self.value in fact
        return _COMPARED[self.op](fact, self.value)

    def conditions(self) -> Iterable["Condition"]:
        """Itself."""
        return (self,)


@dataclass(frozen=True, slots=True)
class Every:
    """All of its parts."""

    parts: tuple["Node", ...]

    def holds(self, facts: Mapping[str, Fact]) -> bool:
        """Whether all hold."""
        return all(part.holds(facts) for part in self.parts)

    def conditions(self) -> Iterable[Condition]:
        """All below."""
        return (condition for part in self.parts for condition in part.conditions())


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of its parts."""

    parts: tuple["Node", ...]

    def holds(self, facts: Mapping[str, Fact]) -> bool:
        """Whether one holds."""
        return any(part.holds(facts) for part in self.parts)

    def conditions(self) -> Iterable[Condition]:
        """All below."""
        return (condition for part in self.parts for condition in part.conditions())


@dataclass(frozen=True, slots=True)
class Negation:
    """The contrary of its part."""

    part: "Node"

    def holds(self, facts: Mapping[str, Fact]) -> bool:
        """Whether the part doesn't hold."""
        return not self.part.holds(facts)

    def conditions(self) -> Iterable[Condition]:
        """All below."""
        return self.part.conditions()


Node = Condition | Every | Some | Negation


@dataclass(frozen=True, slots=True)
class Rule:
    """A tree, the facts that it reads, and the numbers it holds them against."""

    root: Node
    reads: frozenset[str]
    numbers: Mapping[str, frozenset[int]]

    def holds(self, facts: Mapping[str, Fact]) -> bool:
        """Whether the rule holds of a customer with these facts, all of ``reads`` among them."""
        return self.root.holds(facts)


def read_rule(document: Any, declared: Mapping[str, AttributeType] = _NO_TYPES) -> Rule:
    """The rule of a JSON document. ``declared``: types of attributes, which what they are held against has to be of.

    Raises InvalidRule.
    """
    count = [0]
    root = _node(document, "", 1, count, declared)
    conditions = list(root.conditions())
    numbers: dict[str, set[int]] = {}
    for condition in conditions:
        if condition.fact in _DAYS and condition.op != "known":
            values = condition.value if condition.op == "in" else (condition.value,)
            numbers.setdefault(condition.fact, set()).update(int(value // 1) for value in values)
    return Rule(
        root,
        frozenset(condition.fact for condition in conditions),
        {fact: frozenset(values) for fact, values in numbers.items()},
    )


def _node(document: Any, at: str, depth: int, count: list[int], declared: Mapping[str, AttributeType]) -> Node:
    count[0] += 1
    if count[0] > MAX_NODES:
        raise InvalidRule(at, f"a rule has {MAX_NODES} nodes at most")
    if depth > MAX_DEPTH:
        raise InvalidRule(at, f"a rule is {MAX_DEPTH} levels deep at most")
    if not isinstance(document, dict):
        raise InvalidRule(at, "a node is an object with all, any, not or fact")
    named = sorted(document.keys() & {"all", "any", "not", "fact"})
    if len(named) != 1:
        raise InvalidRule(at, "a node has exactly one of all, any, not and fact")
    if named[0] == "fact":
        return _condition(document, at, declared)
    if unknown := sorted(document.keys() - set(named)):
        raise InvalidRule(f"{at}/{_escaped(unknown[0])}", f"beside {named[0]} nothing else is allowed")
    inner = document[named[0]]
    if named[0] == "not":
        return Negation(_node(inner, f"{at}/not", depth + 1, count, declared))
    if not isinstance(inner, list) or not inner:
        raise InvalidRule(f"{at}/{named[0]}", "a list of one node or more")
    parts = tuple(_node(part, f"{at}/{named[0]}/{n}", depth + 1, count, declared) for n, part in enumerate(inner))
    return Every(parts) if named[0] == "all" else Some(parts)


def _condition(document: Mapping[str, Any], at: str, declared: Mapping[str, AttributeType]) -> Condition:
    if unknown := sorted(document.keys() - {"fact", "op", "value"}):
        raise InvalidRule(f"{at}/{_escaped(unknown[0])}", "a condition has fact, op and value")
    fact, op = document["fact"], document.get("op")
    kind = kind_of(fact) if isinstance(fact, str) else None
    if kind is None or not isinstance(fact, str):
        raise InvalidRule(f"{at}/fact", f"one of {', '.join(FACTS)}, or an attribute as attributes.shoe")
    if not isinstance(op, str) or op not in OPERATORS[kind]:
        raise InvalidRule(f"{at}/op", f"one of {' '.join(OPERATORS[kind])} for {fact}")
    place = f"{at}/value"
    if "value" not in document:
        raise InvalidRule(place, "a value is needed")
    value = document["value"]
    if op == "known":
        if not isinstance(value, bool):
            raise InvalidRule(place, "true or false")
        return Condition(fact, op, value)
    if op == "in" and (not isinstance(value, list) or not 1 <= len(value) <= MAX_VALUES):
        raise InvalidRule(place, f"a list of 1 to {MAX_VALUES} values")
    if kind == "attribute":
        _check_type(value if op == "in" else [value], op, declared.get(fact.removeprefix(ATTRIBUTE)), at)
    if op != "in":
        return Condition(fact, op, _scalar(value, kind, fact, place))
    return Condition(fact, op, _scalars(value, kind, fact, place))


_LITERALS: Mapping[AttributeType, type] = {"boolean": bool, "integer": Decimal, "decimal": Decimal}


def _check_type(values: Sequence[Any], op: str, declared: AttributeType | None, at: str) -> None:
    found = {_literal(value) for value in values}
    if len(found) > 1:
        raise InvalidRule(f"{at}/value", "values of one type")
    if declared and found != {_LITERALS.get(declared, str)}:
        raise InvalidRule(f"{at}/value", f"the attribute is declared as {declared}")
    if op not in _UNORDERED and (found == {bool} or declared == "string"):
        raise InvalidRule(f"{at}/op", "what has no order is = or !=, or in")


def _literal(value: Any) -> type:
    if isinstance(value, bool):
        return bool
    return Decimal if isinstance(value, int | float) else str


def _as(value: Any, fact: Fact) -> Fact:
    """The value of an attribute, which may be of any type, as one of the type that it is held against, or None."""
    if _literal(value) is not Decimal and not isinstance(value, Decimal):
        return fact if type(fact) is type(value) else None
    if isinstance(fact, bool) or not isinstance(fact, int | float | str):
        return None
    # Decimal() takes more: spaces, underscores, digits of every script.
    if isinstance(fact, str) and not _NUMBER.fullmatch(fact):
        return None
    number = Decimal(str(fact))
    return number if number.is_finite() else None


def _scalars(values: Sequence[Any], kind: FactKind, fact: str, at: str) -> tuple[Any, ...]:
    return tuple(_scalar(value, kind, fact, f"{at}/{n}") for n, value in enumerate(values))


def _scalar(value: Any, kind: FactKind, fact: str, at: str) -> Any:
    if kind == "attribute" and isinstance(value, bool):
        return value
    if kind in ("text", "list") or (kind == "attribute" and not isinstance(value, int | float)):
        if not isinstance(value, str) or not 1 <= len(value) <= 128 or "\0" in value:
            raise InvalidRule(at, "a text of 1 to 128 characters")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise InvalidRule(at, "a number")
    if fact in _DAYS and not -36_500 <= value <= 36_500:
        raise InvalidRule(at, "a number of days within a hundred years")
    # Money is compared as written: 12.1 as a float isn't 12.10.
    return Decimal(str(value)) if fact in MONEY or kind == "attribute" else value


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
