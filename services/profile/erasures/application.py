"""Erasing a person: everybody is told, everybody answers, and then there is a receipt."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.profile.customers.application import SERVICE, Customers
from services.profile.erasures import store
from services.profile.erasures.domain import ErasureFile, Policy, claims
from services.profile.erasures.forgotten import remember
from services.profile.erasures.receipts import sign
from services.profile.identities.application import person
from services.profile.policies import application as policies
from shared.contracts.erasures import CustomerErased
from shared.contracts.types import Cause
from shared.db import Database, Tx
from shared.messaging import merges, outbox
from shared.messaging.erased import Erased
from shared.messaging.erasures import FEEDBACK, Counts, Erasure
from shared.messaging.events import Event
from shared.messaging.facts import ORDER_KINDS
from shared.messaging.intake import Outcome
from shared.messaging.outbox import UNNUMBERED, Outgoing

log = structlog.get_logger()

FIGURED = (*ORDER_KINDS, FEEDBACK)
"""The kinds of facts that key figures of the past are made of."""


@dataclass(frozen=True, slots=True)
class Erasures:
    """The use cases of this module. ``receipt_secret``: the seed of the key that signs receipts, 32 bytes."""

    customers: Customers
    erased: Erased
    receipt_secret: bytes

    async def start(
        self,
        tx: Tx,
        customer_id: str,
        reason: str | None,
        requested_by: str | None,
        entered_by: str,
        cause: Cause,
        trace: str | None = None,
    ) -> ErasureFile | None:
        """Has a person forgotten, under all his ids; None if nobody is known by this one.

        The same person again is the same erasure. From this moment on his ids are refused here; the other services
        refuse them when they have taken the event in.
        """
        await merges.hold(tx)
        if known := await self.erased.find(tx, [customer_id]):
            return await store.find(tx, known[customer_id])
        who = await person(tx, customer_id)
        if not await self.customers.exists(tx, who.customer_id):
            return None
        now, erasure_id = self.customers.clock.now(), f"e_{uuid4().hex}"
        await self._keep(tx, erasure_id, who.ids, now, reason, requested_by, entered_by)
        await self.erased.add(tx, who.ids, erasure_id, now)
        said = CustomerErased(
            customer_id=who.customer_id,
            sequence=UNNUMBERED,
            caused_by=cause,
            occurred_at=now,
            erasure_id=erasure_id,
            customer_ids=who.ids,
        )
        await outbox.append(tx, SERVICE, [Outgoing(said, trace)], now)
        return await store.find(tx, erasure_id)

    async def destroy(self, tx: Tx, erasure: Erasure) -> Counts:
        """Profile's own part, in the consumer's transaction. A rebuilt profile learns of the erasure here."""
        await self._keep(tx, erasure.erasure_id, erasure.ids, erasure.now, None, None, SERVICE)
        await remember(tx, self.customers, erasure.ids, erasure.now)
        return await store.destroy(tx, erasure)

    async def acknowledge(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Notes which services have destroyed what they had; with the last one's word the receipt is signed, and the
        ids, which so far stood here for whoever must ask after them, go too."""
        now = self.customers.clock.now()
        said = sorted((event.data for event in events), key=lambda data: (data.erasure_id, data.service))
        erasures = sorted({data.erasure_id for data in said})
        await store.hold(tx, erasures)
        await store.acknowledge(tx, [(d.erasure_id, d.service, d.occurred_at, d.counts) for d in said])
        for erasure_id in erasures:
            erasure = await store.find(tx, erasure_id)
            if erasure is not None and not erasure.missing and erasure.completed_at is None:
                await store.complete(tx, erasure_id, now, sign(claims(erasure, now), self.receipt_secret))
                log.info("erasure.completed", erasure_id=erasure_id)
        return Outcome()

    async def find(self, tx: Tx, erasure_id: str) -> ErasureFile | None:
        """An erasure as it stands."""
        return await store.find(tx, erasure_id)

    async def page(
        self, tx: Tx, *, overdue: bool | None, after: tuple[datetime, str] | None, limit: int
    ) -> list[ErasureFile]:
        """Erasures, newest first: all, or those that are overdue now, or the others."""
        return await store.page(tx, overdue, self.customers.clock.now(), after, limit)

    async def policy(self, tx: Tx) -> Policy:
        """How long the services have at most."""
        return await policies.newest(tx, "erasure", Policy)

    async def change_policy(self, tx: Tx, deadline_days: int, require: Callable[[int], None]) -> Policy:
        """The next version, for erasures asked for from now on; ``require`` refuses whoever didn't see the last one."""
        await merges.hold(tx)
        require((await self.policy(tx)).version)
        await policies.put(tx, "erasure", Policy(deadline_days))
        return await self.policy(tx)

    async def _keep(
        self,
        tx: Tx,
        erasure_id: str,
        ids: Sequence[str],
        now: datetime,
        reason: str | None,
        requested_by: str | None,
        entered_by: str,
    ) -> None:
        policy = await self.policy(tx)
        await store.insert(
            tx,
            ErasureFile(
                erasure_id=erasure_id,
                customer_ids=tuple(ids),
                digests=tuple(self.erased.digest(id) for id in ids),
                reason=reason,
                requested_by=requested_by,
                entered_by=entered_by,
                requested_at=now,
                deadline_at=now + timedelta(days=policy.deadline_days),
                policy_version=policy.version,
                completed_at=None,
                receipt=None,
            ),
        )


class Alarm(Collector):
    """The job that tells of erasures whose deadline passed: once in the log, and to Prometheus while it lasts."""

    def __init__(self, db: Database, erasures: Erasures) -> None:
        self.overdue = 0
        self._db = db
        self._erasures = erasures

    async def run(self) -> int:
        """Tells of those that became overdue since the last look; answers how many."""
        now = self._erasures.customers.clock.now()
        async with self._db.transaction() as tx:
            fresh = await store.alarm(tx, now)
            self.overdue = await store.count_overdue(tx, now)
        for erasure in fresh:
            log.error("erasure.overdue", erasure_id=erasure.erasure_id, missing=",".join(erasure.missing))
        return len(fresh)

    def collect(self) -> Iterable[Metric]:
        """How many are overdue, as of the last look."""
        text = "Erasures whose deadline has passed"
        yield GaugeMetricFamily("roost_erasures_overdue", text, value=self.overdue)

    async def next_due(self) -> datetime | None:
        """The deadline that passes next."""
        async with self._db.transaction() as tx:
            return await store.next_deadline(tx)
