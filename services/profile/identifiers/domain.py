"""What other systems know a customer by, beside their own ids: a member number, a card, an id of theirs."""

from datetime import datetime
from typing import Literal

import msgspec

from services.profile.vault.domain import Sealer

IdentifierKind = Literal["member-number", "card", "external"]


class Identifier(msgspec.Struct, frozen=True):
    """An identifier of a customer; of one kind a value is one customer's. ``verified``: the card was there, say."""

    identifier_id: str
    customer_id: str
    kind: IdentifierKind
    value: str
    recorded_at: datetime
    verified: bool = False


class InvalidIdentifier(ValueError):
    """Nothing is left of it once it is written as it is kept."""

    code = "invalid-identifier"


class Taken(Exception):
    """Somebody else (``holder``) has it."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


def as_kept(kind: IdentifierKind, value: str) -> str:
    """The value as it is stored and looked up. Numbers of members and cards in capitals, without the blanks and
    dashes that people put between their groups; another system's id as it is. Raises InvalidIdentifier."""
    kept = value.strip() if kind == "external" else "".join(value.split()).replace("-", "").upper()
    if not kept:
        raise InvalidIdentifier("an identifier must not be empty")
    return kept


def sealed(kind: str, value: str, sealer: Sealer) -> bytes:
    """A value under the key of whose it is."""
    return sealer.seal(f"identifiers/{kind}", value)


def opened(kind: str, sealed: bytes, sealer: Sealer) -> str:
    """The value again. Raises Unreadable."""
    return sealer.open(f"identifiers/{kind}", sealed)
