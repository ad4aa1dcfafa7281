"""Receipts of erasures, signed."""

from collections.abc import Mapping
from typing import Any

from shared import signing
from shared.signing import InvalidSignature as InvalidReceipt
from shared.signing import public_key as public_key

TYPE = "roost-erasure-receipt+jwt"


def sign(claims: Mapping[str, object], secret: bytes) -> str:
    """A compact JWS; ``secret`` is the key's seed, 32 bytes."""
    return signing.sign(claims, secret, TYPE)


def verify(receipt: str, public_key_pem: str) -> dict[str, Any]:
    """What the receipt says. Raises InvalidReceipt."""
    return signing.verify(receipt, public_key_pem, TYPE)


__all__ = ["InvalidReceipt", "public_key", "sign", "verify"]
