"""Optimistic concurrency: strong ETags made of versions, If-Match on PATCH and PUT (RFC 9110, 13.1.1)."""

import re
from dataclasses import dataclass
from typing import Any

from fastapi import Depends
from starlette.requests import Request

from shared.http.gates import Gate
from shared.http.problems import ProblemError, invalid, precondition_failed, precondition_required

_TAGS = re.compile(r'\s*(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"\s*(?:,\s*(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"\s*)*')
_TAG = re.compile(r'(?:W/)?"[^"]*"')


def etag(version: int) -> str:
    """The strong ETag of a resource's version: `"7"`."""
    return f'"{version}"'


@dataclass(frozen=True, slots=True)
class Precondition:
    """What If-Match asked for; `tags` is None for `*`: any version, so long as there is one."""

    tags: frozenset[str] | None

    def require(self, version: int | None) -> None:
        """Raises 412 unless the version (None: there is no such resource) is one of those asked for.

        Call it inside the transaction that locks and changes the resource. Weak tags never match.
        """
        if version is None:
            raise ProblemError(412, "precondition-failed", "There is no such resource yet.")
        if self.tags is not None and etag(version) not in self.tags:
            raise precondition_failed(etag(version))


class IfMatch(Gate[Precondition | None]):
    """428 without If-Match (None where it isn't required), 422 for one that is no list of ETags."""

    rank = 2

    def __init__(self, *, required: bool = True) -> None:
        self.required = required
        self.statuses = (412, 428) if required else (412,)
        self.parameters = ({"name": "If-Match", "in": "header", "required": required, "schema": {"type": "string"}},)

    async def admit(self, request: Request) -> Precondition | None:
        """The precondition. Raises ProblemError 428 or 422."""
        header = ", ".join(request.headers.getlist("if-match"))
        if not header.strip():
            if self.required:
                raise precondition_required()
            return None
        if header.strip() == "*":
            return Precondition(None)
        if not _TAGS.fullmatch(header):
            raise invalid("/header/if-match", 'If-Match is a list of quoted ETags, or "*".')
        return Precondition(frozenset(_TAG.findall(header)))


def if_match() -> Any:
    """On If-Match: `match: Annotated[Precondition, if_match()]`, then `match.require(version)`."""
    return Depends(IfMatch())


def if_match_or_new() -> Any:
    """As `if_match` for a PUT that may also create: `Annotated[Precondition | None, if_match_or_new()]`.

    The endpoint holds it against what it finds by `require_or_new`.
    """
    return Depends(IfMatch(required=False))


def require_or_new(match: Precondition | None, version: int | None) -> None:
    """Raises 428 where the resource exists (`version`) and no precondition was sent, 412 as `Precondition.require`."""
    if match is not None:
        match.require(version)
    elif version is not None:
        raise precondition_required()
