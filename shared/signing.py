"""Documents as JSON Web Signatures (RFC 7515) by Ed25519 (RFC 8037): whoever has the public key checks them offline."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALGORITHM = "EdDSA"


class InvalidSignature(Exception):
    """It isn't what the holder of the key has signed."""


def sign(claims: Mapping[str, object], secret: bytes, kind: str) -> str:
    """A compact JWS; ``secret`` is the key's seed, 32 bytes, ``kind`` its type: what is signed as one thing is no
    other. The same claims give the same signature."""
    import jwt

    return jwt.encode(dict(claims), _key(secret), algorithm=ALGORITHM, headers={"typ": kind})


def public_key(secret: bytes) -> str:
    """The key to check signatures by, in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return _key(secret).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def verify(signed: str, public_key_pem: str, kind: str) -> dict[str, Any]:
    """What was signed as that kind of document. Raises InvalidSignature."""
    import jwt

    try:
        header = jwt.get_unverified_header(signed)
        # A clock that runs behind must not make yesterday's document one of tomorrow.
        options: Any = {"verify_iat": False, "require": ["iss", "sub", "iat"]}
        said: dict[str, Any] = jwt.decode(signed, public_key_pem, algorithms=[ALGORITHM], options=options)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise InvalidSignature(str(error)) from error
    if header.get("typ") != kind:
        raise InvalidSignature(f"it is signed, and no {kind}")
    return said


def _key(secret: bytes) -> "Ed25519PrivateKey":
    # It loads cryptography: only a process that signs needs it.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(secret)
