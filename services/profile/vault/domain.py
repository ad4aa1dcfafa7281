"""What is sealed at rest, and under which keys.

Each owner (a customer, say) has a data key of 32 random bytes; it is kept wrapped by the house's master key, so that
whoever has the database alone reads nothing, and who destroys the wrapped key destroys all that was sealed under it.
AES-256-GCM (NIST SP 800-38D, 2007), HKDF-SHA256 (RFC 5869, 2010), HMAC-SHA256 as the index that finds equals.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Random = Callable[[int], bytes]
"""Answers so many random bytes."""

_FORMAT = b"\x01"
_NONCE = 12
_KEY = 32
INDEX = "index"
"""The owner of the key under which equals are found."""


class Unreadable(Exception):
    """It doesn't open: sealed under another key, for another owner or field, or changed since."""

    code = "unreadable"


class WrongMasterKey(Exception):
    """None of the master keys that were given has wrapped this."""

    code = "wrong-master-key"


class WrappedKey(msgspec.Struct, frozen=True):
    """A data key as it is kept, and the name of the master key that wrapped it."""

    wrapped: bytes
    wrapped_by: str


def customer_owner(customer_id: str) -> str:
    """The owner's name of a customer's key."""
    return f"customer:{customer_id}"


class Sealer:
    """Seals and opens what belongs to one owner, field by field: neither opens for another."""

    __slots__ = ("_aes", "_owner", "_random")

    def __init__(self, owner: str, key: bytes, random: Random) -> None:
        self._owner, self._aes, self._random = owner, _aes(key), random

    def seal(self, field: str, text: str) -> bytes:
        """The text, sealed: a byte that names the format, the nonce, then the ciphertext with its tag."""
        nonce = self._random(_NONCE)
        return _FORMAT + nonce + self._aes.encrypt(nonce, text.encode(), self._bound(field))

    def open(self, field: str, sealed: bytes) -> str:
        """The text again. Raises Unreadable."""
        from cryptography.exceptions import InvalidTag

        nonce, ciphertext = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            return self._aes.decrypt(nonce, ciphertext, self._bound(field)).decode()
        except (InvalidTag, ValueError) as error:
            raise Unreadable(f"{field} of {self._owner}") from error

    def _bound(self, field: str) -> bytes:
        return f"{self._owner}\0{field}".encode()


Opener = Callable[[str, bytes | None, str | None], Sealer]
"""Makes a customer's sealer of his id, his wrapped key, and the name of what wrapped it; None is Unreadable."""


class Master:
    """A master key, made of the house's secret. ``name`` tells which one wrapped a key, and tells nothing of it."""

    __slots__ = ("_aes", "name")

    def __init__(self, secret: str) -> None:
        self.name = _derived(secret.encode(), "name")[:4].hex()
        self._aes = _aes(_derived(secret.encode(), "wrap"))

    def wrap(self, owner: str, key: bytes, random: Random) -> WrappedKey:
        """A key as it may be kept."""
        nonce = random(_NONCE)
        return WrappedKey(_FORMAT + nonce + self._aes.encrypt(nonce, key, owner.encode()), self.name)

    def unwrap(self, owner: str, kept: WrappedKey) -> bytes:
        """The key again. Raises Unreadable."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._aes.decrypt(kept.wrapped[1 : 1 + _NONCE], kept.wrapped[1 + _NONCE :], owner.encode())
        except (InvalidTag, ValueError) as error:
            raise Unreadable(f"the key of {owner}") from error


class Keyring:
    """The house's master keys, the newest first: it wraps, any of them unwraps."""

    __slots__ = ("_masters", "_newest", "_random")

    def __init__(self, secrets: Sequence[str], random: Random) -> None:
        masters = [Master(secret) for secret in secrets]
        self._newest, self._random = masters[0], random
        self._masters = {master.name: master for master in masters}

    @property
    def newest(self) -> str:
        """The name of the master key that wraps."""
        return self._newest.name

    def new(self, owner: str) -> tuple[WrappedKey, Sealer]:
        """A data key for somebody who has none: to be kept, and to be used."""
        key = self._random(_KEY)
        return self._newest.wrap(owner, key, self._random), Sealer(owner, key, self._random)

    def sealer(self, owner: str, kept: WrappedKey) -> Sealer:
        """Of an owner's kept key. Raises WrongMasterKey, Unreadable."""
        return Sealer(owner, self._unwrapped(owner, kept), self._random)

    def index(self, kept: WrappedKey) -> "Index":
        """Of the index's kept key. Raises WrongMasterKey, Unreadable."""
        return Index(_derived(self._unwrapped(INDEX, kept), "equals"))

    def rewrapped(self, owner: str, kept: WrappedKey) -> WrappedKey:
        """The same key, wrapped by the newest master key. Raises WrongMasterKey, Unreadable."""
        return self._newest.wrap(owner, self._unwrapped(owner, kept), self._random)

    def _unwrapped(self, owner: str, kept: WrappedKey) -> bytes:
        master = self._masters.get(kept.wrapped_by)
        if master is None:
            raise WrongMasterKey(f"PROFILE_MASTER_KEY isn't the one that wrapped this key: {kept.wrapped_by}")
        return master.unwrap(owner, kept)


class Index:
    """Finds equals among what is sealed, without opening it."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.hmac import HMAC

        self._keyed = HMAC(key, SHA256())

    def digest(self, kind: str, value: str) -> bytes:
        """The same of the same kind and normalised value alone, 32 bytes."""
        # A copy knows the key already: with an import's two addresses a row that counts.
        keyed = self._keyed.copy()
        keyed.update(f"{kind}\0{value}".encode())
        return keyed.finalize()


def _aes(key: bytes) -> "AESGCM":
    # Nine megabytes: a process that never seals and checks no token goes without.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _derived(secret: bytes, use: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), _KEY, salt=None, info=f"roost profile vault {use}".encode()).derive(secret)
