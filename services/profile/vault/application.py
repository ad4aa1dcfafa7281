"""Keys for who has none, sealers for who has one, and the way to another master key."""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property

import structlog

from services.profile.vault import store
from services.profile.vault.domain import INDEX, Index, Keyring, Sealer, Unreadable, WrappedKey, customer_owner
from shared.clock import Clock
from shared.db import Database, Tx

log = structlog.get_logger()
_AT_ONCE = 1000


class Vault:
    """The use cases of this module. ``secrets``: of the master keys, the newest first."""

    def __init__(self, db: Database, secrets: Sequence[str]) -> None:
        self._db, self._secrets = db, tuple(secrets)
        self._index: Index | None = None

    @property
    def changes_masters(self) -> bool:
        """Whether one master key replaces another."""
        return len(self._secrets) > 1

    @cached_property
    def keyring(self) -> Keyring:
        """Made at first use: the library is loaded with it."""
        return Keyring(self._secrets, os.urandom)

    async def index(self, tx: Tx) -> Index:
        """What finds equals. Its key is made once a database. Raises WrongMasterKey."""
        if self._index is None:
            kept = await store.index(tx)
            if kept is None:
                # Committed by itself: what is kept for the process's life must not depend on how ``tx`` ends.
                async with self._db.apart() as own:
                    await store.keep_index(own, self.keyring.new(INDEX)[0])
                kept = await store.index(tx)
            assert kept is not None, "it was made above"
            self._index = self.keyring.index(kept)
        return self._index

    def opener(self, customer_id: str, wrapped: bytes | None, wrapped_by: str | None) -> Sealer:
        """Of a key that was read beside what it opens. Raises Unreadable where there is none, WrongMasterKey."""
        if wrapped is None or wrapped_by is None:
            raise Unreadable(f"{customer_id} has no key")
        return self.keyring.sealer(customer_owner(customer_id), WrappedKey(wrapped, wrapped_by))

    async def openers(self, tx: Tx, customers: Iterable[str]) -> dict[str, Sealer]:
        """For those of these customers who have a key, in one statement."""
        found = await store.find(tx, sorted(set(customers)))
        return {who: self.keyring.sealer(customer_owner(who), key) for who, key in found.items()}

    async def sealers(self, tx: Tx, customers: Iterable[str]) -> dict[str, Sealer]:
        """For all of these customers, who have files: who has no key gets one. At most three statements."""
        wanted = sorted(set(customers))
        sealers = await self.openers(tx, wanted)
        if missing := [who for who in wanted if who not in sealers]:
            made = {who: self.keyring.new(customer_owner(who)) for who in missing}
            kept = await store.keep(tx, {who: key for who, (key, _) in made.items()})
            sealers |= {who: made[who][1] for who in kept}
            if len(kept) < len(missing):
                sealers |= await self.openers(tx, set(missing) - kept)
        return sealers

    async def destroy(self, tx: Tx, customers: Iterable[str]) -> int:
        """Takes the keys of these customers away: what was sealed under them opens never again."""
        return await store.destroy(tx, sorted(set(customers)))

    async def rewrap(self) -> int:
        """Wraps by the newest master key what an older one has wrapped; nothing that is sealed is touched."""
        done = 0
        async with self._db.transaction() as tx:
            if key := await store.old_index(tx, self.keyring.newest):
                await store.rewrap_index(tx, self.keyring.rewrapped(INDEX, key))
                done += 1
        after = ""
        while True:
            async with self._db.transaction() as tx:
                found = await store.old(tx, self.keyring.newest, _AT_ONCE, after)
                again = {who: self.keyring.rewrapped(customer_owner(who), key) for who, key in found.items()}
                await store.rewrap(tx, again)
            done += len(found)
            if len(found) < _AT_ONCE:
                break
            # Not from the beginning each time, over all that is wrapped anew.
            after = next(reversed(found))
        if done:
            log.info("vault.rewrapped", keys=done, by=self.keyring.newest)
        return done

    async def rewrap_due(self, clock: Clock) -> datetime | None:
        """Now, if there is something to wrap again."""
        async with self._db.transaction() as tx:
            left = await store.old_index(tx, self.keyring.newest) or await store.old(tx, self.keyring.newest, 1)
        return clock.now() if left else None
