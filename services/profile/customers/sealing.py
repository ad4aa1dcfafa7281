"""Addresses as they are kept: sealed under their customer's key, found by digest."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.profile.customers.contact_points import ContactKind, ContactPoint
from services.profile.vault.domain import Index, Sealer

ADDRESSES = "contact_points."
"""How the parts of a file begin that are addresses."""

_points = msgspec.json.Decoder(tuple[ContactPoint, ...])
_encode = msgspec.json.Encoder().encode


class SealedPoint(msgspec.Struct, frozen=True):
    """A row of ``contact_points``, without its place."""

    kind: ContactKind
    sealed: bytes
    digest: bytes
    verified: bool


class SealedPart(msgspec.Struct, frozen=True):
    """A row of ``file_fields``: ``value`` is JSON where it is no address, ``sealed`` where it is one."""

    field: str
    value: str | None
    sealed: bytes | None


def sealed_points(points: Sequence[ContactPoint], sealer: Sealer, index: Index) -> list[SealedPoint]:
    """A customer's addresses, in their order."""
    return [
        SealedPoint(
            point.kind,
            sealer.seal(_column(point.kind), point.value),
            index.digest(point.kind, point.value),
            point.verified,
        )
        for point in points
    ]


def opened_address(kind: str, sealed: bytes, sealer: Sealer) -> str:
    """An address of ``contact_points``. Raises Unreadable."""
    return sealer.open(_column(kind), sealed)


def sealed_parts(parts: Mapping[str, Any], sealer: Sealer | None) -> list[SealedPart]:
    """What is written of a file, as its history keeps it. ``sealer``: wherever there is an address among it."""
    found = []
    for field, value in parts.items():
        json = _json(value)
        if value and field.startswith(ADDRESSES):
            assert sealer is not None, "whoever writes addresses brings a key"
            found.append(SealedPart(field, None, sealer.seal(_history(field), json)))
        else:
            found.append(SealedPart(field, json, None))
    return found


def opened_part(field: str, sealed: bytes, sealer: Sealer) -> Any:
    """A value of the history. Raises Unreadable."""
    return msgspec.json.decode(sealer.open(_history(field), sealed))


def has_addresses(parts: Mapping[str, Any]) -> bool:
    """Whether something among these parts must be sealed: no addresses of a kind are no secret."""
    return any(field.startswith(ADDRESSES) and value for field, value in parts.items())


def sealed_json(points: Sequence[ContactPoint], sealer: Sealer, field: str) -> bytes:
    """Addresses in one piece, for whom no digest is needed."""
    return sealer.seal(field, _json(points))


def opened_json(sealed: bytes, sealer: Sealer, field: str) -> tuple[ContactPoint, ...]:
    """Addresses that were sealed in one piece. Raises Unreadable."""
    return _points.decode(sealer.open(field, sealed))


def _json(value: Any) -> str:
    return _encode(value).decode()


def _column(kind: str) -> str:
    return f"contact_points/{kind}"


def _history(field: str) -> str:
    return f"file_fields/{field}"
