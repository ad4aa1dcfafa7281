"""Keeping the record of accesses: behind the answers, in batches, and never lost when the service stops in order."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from itertools import islice

import structlog
from prometheus_client import CollectorRegistry, Counter

from services.profile.accesses import store
from services.profile.accesses.domain import Access, Kept
from shared.clock import Clock
from shared.db import Database, Tx

log = structlog.get_logger()

SECONDS = 1.0
"""The longest that an access waits to be written: what a crash may lose."""
AT_ONCE = 1_000
MOST_WAITING = 100_000
_shown: ContextVar[list[str] | None] = ContextVar("roost.profile.shown", default=None)


def begin() -> list[str]:
    """Collects whose data the request in hand shows, in the list that it answers."""
    customers: list[str] = []
    _shown.set(customers)
    return customers


def showed(customers: Iterable[str]) -> None:
    """The request in hand shows data of these customers; one named in its path needs no mention."""
    if (shown := _shown.get()) is not None:
        shown.extend(customers)


class AccessRecord:
    """The use cases of this module. ``digest``: the keyed hash under which a customer stands in the record."""

    def __init__(self, db: Database, clock: Clock, digest: Callable[[str], bytes]) -> None:
        self.clock = clock
        self._db, self._digest = db, digest
        self._waiting: list[tuple[Access, Sequence[str]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        name, text = "roost_accesses_unwritten", "Attempts to write the record of accesses that failed"
        self._failed = Counter(name, text, registry=None)
        name, text = "roost_accesses_lost", "Accesses that were given up, since too many waited or the service ended"
        self._lost = Counter(name, text, registry=None)

    def measure(self, registry: CollectorRegistry) -> None:
        """Shows what fails among the service's metrics."""
        registry.register(self._failed)
        registry.register(self._lost)

    def note(self, access: Access, customers: Iterable[str]) -> None:
        """Takes an access down; it is written within ``SECONDS``. Costs the request no wait."""
        self._waiting.append((access, tuple(dict.fromkeys(customers))))
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[0]
            self._lost.inc()
        self._later()

    async def flush(self) -> None:
        """Writes everything that waits by now. What the database doesn't take waits for the next time."""
        async with self._writing:
            # What comes in meanwhile has its own time: else every write would be of the few that the last one kept.
            left = len(self._waiting)
            while left > 0 and (batch := list(islice(self._waiting, min(left, AT_ONCE)))):
                left -= len(batch)
                del self._waiting[: len(batch)]
                try:
                    await self._write(batch)
                except asyncio.CancelledError:
                    self._waiting[:0] = batch
                    raise
                except Exception as error:  # the loop's edge: whoever reads is answered, and the next time tries again
                    self._waiting[:0] = batch
                    self._failed.inc()
                    self._later()
                    log.error("accesses.unwritten", waiting=len(self._waiting), error=type(error).__name__)
                    return

    async def close(self) -> None:
        """The last time."""
        await self.flush()
        if self._timer is not None:
            self._timer.cancel()
        if self._waiting:
            self._lost.inc(len(self._waiting))
            log.error("accesses.lost", accesses=len(self._waiting))

    async def page(self, tx: Tx, ids: Iterable[str], after: int | None, limit: int) -> list[Kept]:
        """What showed data of a person's ids, the newest first."""
        return await store.page(tx, [*map(self._digest, ids)], after, limit)

    async def _write(self, batch: Sequence[tuple[Access, Sequence[str]]]) -> None:
        digests = {who: self._digest(who) for _, ids in batch for who in ids}
        async with self._db.transaction() as tx:
            await store.add(tx, [(access, [digests[who] for who in ids]) for access, ids in batch])

    def _later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SECONDS, self._start)

    def _start(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self.flush(), name="profile.accesses")
