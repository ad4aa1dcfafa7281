"""Posting programme versions, and knowing them all on the hot path."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.programmes import store
from services.loyalty.programmes.domain import GREENWICH, Programme, in_force
from services.loyalty.programmes.stored import first_programme, read_programme
from services.loyalty.segments import application as segments
from shared.clock import Clock
from shared.db import Row, Tx

FIRST = 1
_HIGHEST = 2**31 - 1


class Posted(msgspec.Struct, frozen=True):
    """A version as it was posted."""

    version: int
    posted_at: datetime
    body: dict[str, Any]


@dataclass(slots=True)
class Programmes:
    """The versions. They never change, so each process reads each once; ``currency`` and ``zone`` are the house's."""

    clock: Clock
    currency: str
    zone: ZoneInfo = GREENWICH
    _read: list[Programme] = field(default_factory=list)

    async def known(self, tx: Tx) -> Sequence[Programme]:
        """Every version posted so far, by number. A fresh system has its first one from here on."""
        rows = await store.newer(tx, self._newest)
        if not rows and not self._read:
            await self._seed(tx)
            # Not remembered: this transaction may yet be rolled back.
            return [self._programme(row) for row in await store.newer(tx, 0)]
        # Another transaction of this process may have read them meanwhile.
        self._read += [self._programme(row) for row in rows if row["version"] > self._newest]
        return tuple(self._read)

    async def post(self, tx: Tx, body: dict[str, Any]) -> Posted:
        """Makes a new version of a validated body."""
        if any("segment" in rule.get("when", {}) for rule in body.get("rules", ())):
            # Whoever takes in a change of segments judges by every version that is there when he is done.
            await segments.wait(tx)
        await self._ensure_seeded(tx)
        now = self.clock.now()
        version = await store.next_version(tx)
        active_from = datetime.fromisoformat(body["active_from"])
        await store.insert(tx, version, active_from, now, _text(body))
        return Posted(version, now, body)

    async def current(self, tx: Tx) -> Posted:
        """The version in force now. Raises LookupError without one."""
        programme = in_force(await self.known(tx), self.clock.now())
        if programme is None:
            raise LookupError("no programme is in force")
        return await self.one(tx, programme.version)

    async def one(self, tx: Tx, version: int) -> Posted:
        """That version. Raises LookupError."""
        row = await store.one(tx, version)
        if row is None:
            raise LookupError(f"there is no version {version}")
        return _posted(row)

    async def page(self, tx: Tx, before: int | None, limit: int) -> list[Posted]:
        """Versions, newest first."""
        await self._ensure_seeded(tx)
        return [_posted(row) for row in await store.page(tx, _HIGHEST if before is None else before, limit)]

    def _programme(self, row: Row) -> Programme:
        return read_programme(row["version"], row["posted_at"], row["body"].encode(), self.zone)

    @property
    def _newest(self) -> int:
        return self._read[-1].version if self._read else 0

    async def _ensure_seeded(self, tx: Tx) -> None:
        if not self._read and await store.one(tx, FIRST) is None:
            await self._seed(tx)

    async def _seed(self, tx: Tx) -> None:
        body = first_programme(self.currency)
        active_from = datetime.fromisoformat(body["active_from"])
        await store.insert(tx, FIRST, active_from, self.clock.now(), _text(body))


def _text(body: dict[str, Any]) -> str:
    return msgspec.json.encode(body).decode()


def _posted(row: Row) -> Posted:
    return Posted(row["version"], row["posted_at"], msgspec.json.decode(row["body"]))
