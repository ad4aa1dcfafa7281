"""The identifiers that a batch of writes brings, decided in memory and written as a set."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from services.profile.erasures.forgotten import forgotten
from services.profile.identifiers import loading
from services.profile.identifiers.domain import IdentifierKind, sealed
from services.profile.identifiers.loading import Digest, Held
from services.profile.vault.application import Vault
from services.profile.vault.domain import Index
from shared.db import Tx

Named = tuple[IdentifierKind, str]
"""A kind, and a value as it is kept."""


@dataclass(slots=True)
class IdentifierBatch:
    """Who holds the identifiers that a batch names, after the writes so far."""

    vault: Vault
    now: datetime
    _index: Index
    _holders: dict[Digest, Held]
    _erased: dict[Digest, datetime]
    _promised: dict[Digest, str] = field(default_factory=dict)
    _new: list[tuple[str, str, IdentifierKind, str, Digest]] = field(default_factory=list)

    @classmethod
    async def of(cls, vault: Vault, tx: Tx, named: Iterable[Named], now: datetime) -> "IdentifierBatch":
        """Looks up whose these are, in one statement."""
        index = await vault.index(tx)
        asked: set[Digest] = {(kind, index.digest(kind, value)) for kind, value in named}
        holders = await loading.holders(tx, asked)
        return cls(vault, now, index, holders, await forgotten(tx, asked - holders.keys()))

    @property
    def everybody(self) -> set[str]:
        """Under whose ids any of them stands."""
        return {held.customer_id for held in self._holders.values()}

    async def look_again(self, tx: Tx) -> None:
        """What somebody had may be gone by the time the files are locked; nothing goes without that lock."""
        if self._holders:
            self._holders = await loading.holders(tx, self._holders)

    def kept(self, kind: IdentifierKind, value: str) -> Held | None:
        """It as it stands."""
        return self._holders.get(self._digest(kind, value))

    def erased_at(self, kind: IdentifierKind, value: str) -> datetime | None:
        """When somebody was erased who had it, if nobody has it now."""
        return self._erased.get(self._digest(kind, value))

    def holder(self, kind: IdentifierKind, value: str) -> str | None:
        """Under whose id it stands, or to whom it was promised."""
        digest = self._digest(kind, value)
        held = self._holders.get(digest)
        return held.customer_id if held else self._promised.get(digest)

    def promise(self, kind: IdentifierKind, value: str, customer_id: str) -> None:
        """Whoever asks next for what nobody holds finds this customer."""
        self._promised.setdefault(self._digest(kind, value), customer_id)

    def add(self, kind: IdentifierKind, value: str, customer_id: str) -> str:
        """Gives an identifier that nobody holds to a customer; answers its id."""
        digest, made = self._digest(kind, value), f"i_{uuid4().hex}"
        self._holders[digest] = Held(made, customer_id, self.now)
        self._new.append((made, customer_id, kind, value, digest))
        return made

    async def save(self, tx: Tx) -> None:
        """Writes what was added. Raises asyncpg.UniqueViolationError where somebody was faster."""
        if not self._new:
            return
        sealers = await self.vault.sealers(tx, {customer for _, customer, *_ in self._new})
        rows = [
            (made, customer, kind, sealed(kind, value, sealers[customer]), digest[1], self.now)
            for made, customer, kind, value, digest in sorted(self._new, key=lambda new: new[4])
        ]
        await loading.add(tx, rows)

    def _digest(self, kind: IdentifierKind, value: str) -> Digest:
        return kind, self._index.digest(kind, value)


async def hold(tx: Tx, ids: Iterable[str]) -> None:
    """Nobody changes or claims these identifiers until the transaction ends."""
    await loading.hold(tx, ids)


async def take_back(tx: Tx, held: Iterable[tuple[str, str]]) -> int:
    """Takes identifiers (id, customer) away where they are still his; answers how many."""
    return await loading.remove(tx, held)
