"""Examples in the OpenAPI document."""

from typing import Any


def answers(example: Any, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The entry of a good answer, for ``responses=``."""
    return {status: {"content": {"application/json": {"example": example}}}}


def page(example: Any) -> dict[int | str, dict[str, Any]]:
    """The entry of a list whose items look like that."""
    return answers({"items": [example], "next_cursor": None})
