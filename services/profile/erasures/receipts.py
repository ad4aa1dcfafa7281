"""Receipts as JSON Web Signatures (RFC 7515) by Ed25519 (RFC 8037): whoever has the public key checks them offline."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TYPE = "roost-erasure-receipt+jwt"
ALGORITHM = "EdDSA"


class InvalidReceipt(Exception):
    """It isn't what the holder of the key has signed."""


def sign(claims: Mapping[str, object], secret: bytes) -> str:
    """A compact JWS; ``secret`` is the key's seed, 32 bytes."""
    import jwt

    return jwt.encode(dict(claims), _key(secret), algorithm=ALGORITHM, headers={"typ": TYPE})


def public_key(secret: bytes) -> str:
    """The key to check receipts by, in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return _key(secret).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def verify(receipt: str, public_key_pem: str) -> dict[str, Any]:
    """What the receipt says. Raises InvalidReceipt."""
    import jwt

    try:
        header = jwt.get_unverified_header(receipt)
        # A clock that runs behind must not make yesterday's receipt one of tomorrow.
        options: Any = {"verify_iat": False, "require": ["iss", "sub", "iat"]}
        said: dict[str, Any] = jwt.decode(receipt, public_key_pem, algorithms=[ALGORITHM], options=options)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise InvalidReceipt(str(error)) from error
    if header.get("typ") != TYPE:
        raise InvalidReceipt("it is signed, and no receipt of an erasure")
    return said


def _key(secret: bytes) -> "Ed25519PrivateKey":
    # It loads cryptography: only a process that signs needs it.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(secret)
