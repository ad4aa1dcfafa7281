"""Examples in the OpenAPI document."""

from typing import Any


def answers(example: Any, status: int = 200, **more: Any) -> dict[int | str, dict[str, Any]]:
    """The entry of a good answer, for ``responses=``; ``more`` stands beside its content."""
    return {status: {"content": {"application/json": {"example": example}}, **more}}


def page(example: Any) -> dict[int | str, dict[str, Any]]:
    """The entry of a list whose items look like that."""
    return answers({"items": [example], "next_cursor": None})
