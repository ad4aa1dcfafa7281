"""Statements signed and checked: whoever has the public key needs nothing else."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from services.loyalty.statements.domain import PLACES
from shared import signing
from shared.signing import InvalidSignature

TYPE = "roost-statement+jwt"
ISSUER = "/roost/loyalty"


class InvalidStatement(Exception):
    """It isn't what was signed, or its sums are wrong."""


def signed(statement: Mapping[str, Any], closed_at: int, secret: bytes) -> str:
    """The document as it is given out: the statement, and a JWS over its digest. ``closed_at``: seconds since 1970."""
    claims = {
        "iss": ISSUER, "sub": statement["customer_id"], "iat": closed_at, "month": statement["month"],
        "sha256": digest(statement),
    }  # fmt: skip
    document = {"statement": statement, "signature": signing.sign(claims, secret, TYPE)}
    return msgspec.json.encode(document).decode()


def verify(content: bytes, public_key_pem: str) -> dict[str, Any]:
    """The statement in a document. Raises InvalidStatement."""
    try:
        document = json.loads(content)
        statement, signature = document["statement"], document["signature"]
        said = signing.verify(signature, public_key_pem, TYPE)
        if said.get("sha256") != digest(statement):
            raise InvalidStatement("it was changed after it was signed")
        _add_up(statement)
    except InvalidSignature as error:
        raise InvalidStatement(str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidStatement(f"it is no statement: {type(error).__name__}") from error
    return dict(statement)


def digest(statement: Mapping[str, Any]) -> str:
    """SHA-256 of the statement as JSON with sorted keys, without spaces, in UTF-8, hexadecimal."""
    text = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256(text.encode()).hexdigest()


def _add_up(statement: Mapping[str, Any]) -> None:
    for place in PLACES:
        changed = sum(entry["changes"].get(place, 0) for entry in statement["entries"])
        if statement["opening"][place] + changed != statement["closing"][place]:
            raise InvalidStatement(f"its {place} points don't add up")
