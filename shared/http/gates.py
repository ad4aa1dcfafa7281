"""Checks that stand before a request's body is read: who asks, with which key, for which version.

FastAPI validates the body together with the dependencies, so that a stranger would learn what is wrong with
his body before he learns that he may not send one. A `Router` runs the gates among a route's dependencies
first, in the order of their ranks; the dependency then only hands over what its gate found.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from fastapi.dependencies.models import Dependant
from starlette.requests import Request

T = TypeVar("T")
_ADMITTED = "roost.admitted"


class Gate(ABC, Generic[T]):
    """A dependency that is asked before the body; use an instance in `Depends`."""

    rank: int
    statuses: tuple[int, ...] = ()
    parameters: tuple[dict[str, Any], ...] = ()

    @abstractmethod
    async def admit(self, request: Request) -> T:
        """What the endpoint gets. Raises ProblemError."""

    async def __call__(self, request: Request) -> T:
        """The dependency as FastAPI calls it, after the body is read."""
        admitted: dict[Gate[Any], Any] = request.scope.get(_ADMITTED, {})
        if self not in admitted:
            return await self.admit(request)
        found: T = admitted[self]
        return found


class Mark(Gate[None]):
    """Says something about a route and refuses nobody."""

    rank = 9

    async def admit(self, request: Request) -> None:
        """Lets everybody pass."""


class BodyLimit(Mark):
    """Replaces the service's body limit for one route: `dependencies=[Depends(BodyLimit(50_000_000))]`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes


def gates_of(dependant: Dependant) -> list[Gate[Any]]:
    """The gates and marks among a route's dependencies, at any depth, in the order they are asked."""
    return sorted(dict.fromkeys(_found(dependant)), key=lambda gate: gate.rank)


def without_spent_gates(dependant: Dependant) -> None:
    """Takes the gates out of which the endpoint gets nothing: FastAPI would spend 15 µs on each, for None."""
    dependant.dependencies[:] = [
        inner for inner in dependant.dependencies if inner.name is not None or not isinstance(inner.call, Gate)
    ]


async def pass_gates(gates: list[Gate[Any]], request: Request) -> None:
    """Asks each gate in turn; raises the first one's ProblemError."""
    admitted: dict[Gate[Any], Any] = {}
    request.scope[_ADMITTED] = admitted
    for gate in gates:
        admitted[gate] = await gate.admit(request)


def admitted(request: Request) -> list[Any]:
    """What the gates of a request in hand found."""
    found: dict[Gate[Any], Any] = request.scope.get(_ADMITTED, {})
    return list(found.values())


def _found(dependant: Dependant) -> Iterator[Gate[Any]]:
    for inner in dependant.dependencies:
        if isinstance(inner.call, Gate):
            yield inner.call
        yield from _found(inner)
