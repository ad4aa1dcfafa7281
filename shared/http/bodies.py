"""Reading a request's body: bounded, strictly JSON, and nothing in it that a database can't hold."""

from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from shared.http.problems import ProblemError, invalid

MAX_DEPTH = 64


class BoundedRequest(Request):
    """A request whose body ends in 413 beyond `max_bytes`, declared or streamed, and whose JSON is strict."""

    def __init__(self, scope: Scope, receive: Receive, max_bytes: int) -> None:
        super().__init__(scope, self._receive_bounded)
        self._from_server = receive
        self._max_bytes = max_bytes
        self._seen = 0
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > max_bytes:
            raise _too_large(max_bytes)

    async def json(self) -> Any:
        """The decoded body; raises ProblemError 400 or 422 where it is no good."""
        if not hasattr(self, "_decoded"):
            self._decoded = strict_json(await self.body())
        return self._decoded

    async def _receive_bounded(self) -> Message:
        message = await self._from_server()
        self._seen += len(message.get("body", b""))
        if self._seen > self._max_bytes:
            raise _too_large(self._max_bytes)
        return message


def is_json(content_type: str) -> bool:
    """Whether a Content-Type names JSON: `application/json` or `application/…+json`."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def strict_json(body: bytes) -> Any:
    """Decoded JSON of at most 64 levels, without NaN, Infinity, lone surrogates or U+0000.

    Raises ProblemError: 400 `malformed-json`, 422 `invalid-request` with the pointer of an U+0000.
    """
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, "malformed-json", f"The body isn't valid JSON: {error}") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _deeper_than(MAX_DEPTH, decoded):
        raise ProblemError(400, "malformed-json", f"The body is nested deeper than {MAX_DEPTH} levels.")
    # An escaped backslash before u0000 is harmless, so the bytes only say where a walk is needed.
    if b"\\u0000" in body and (at := _nul_in(decoded, "")) is not None:
        raise invalid(at, "U+0000 is not allowed.")
    return decoded


def pointer(parts: Iterable[object]) -> str:
    """A JSON pointer (RFC 6901) of these keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _deeper_than(limit: int, decoded: Any) -> bool:
    level = [decoded] if isinstance(decoded, dict | list) else []
    for _ in range(limit):
        level = [
            child
            for container in level
            for child in (container.values() if type(container) is dict else container)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _nul_in(value: Any, at: str) -> str | None:
    if isinstance(value, str):
        return at if "\0" in value else None
    if isinstance(value, list):
        found = (_nul_in(child, f"{at}/{index}") for index, child in enumerate(value))
    elif isinstance(value, dict):
        if any("\0" in key for key in value):
            return at
        found = (_nul_in(child, at + pointer([key])) for key, child in value.items())
    else:
        return None
    return next((where for where in found if where is not None), None)


def _too_large(max_bytes: int) -> ProblemError:
    return ProblemError(413, "body-too-large", f"The body may have {max_bytes} bytes at most.")
