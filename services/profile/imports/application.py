"""Receiving files of customers, telling how far they are, and having one taken back."""

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import msgspec

from services.profile.customers.application import Customers
from services.profile.imports import reading, row_store, store, touched_store
from services.profile.imports.domain import Difference, Format, Import, Leftover, NotRevertible
from services.profile.imports.receiving import Upload
from services.profile.imports.row_store import FaultRow
from services.profile.imports.sealing import DIFFERENCE, new_key, of_fault, sealer_of
from shared.db import Database, Tx


@dataclass(frozen=True, slots=True)
class Imports:
    """The use cases of this module."""

    customers: Customers
    db: Database

    async def begin(
        self,
        format_: Format,
        charset: str,
        *,
        name: str | None,
        dry_run: bool,
        as_of: datetime | None,
        by: str,
        trace: str | None,
    ) -> Upload:
        """An import whose file is on its way."""
        import_id = f"imp_{uuid4().hex}"
        key, sealer = new_key(self.customers.vault, import_id)
        async with self.db.transaction() as tx:
            await store.add(
                tx,
                key,
                import_id=import_id,
                format=format_,
                name=name,
                dry_run=dry_run,
                as_of=as_of,
                created_by=by,
                created_at=self.customers.clock.now(),
                traceparent=trace,
            )
        return Upload(self.db, import_id, reading.reader_of(format_, charset), sealer)

    async def find(self, tx: Tx, import_id: str) -> Import | None:
        """An import as it stands."""
        return await store.find(tx, import_id)

    async def same(self, tx: Tx, job: Import) -> str | None:
        """Another import of the same bytes that stands."""
        return await store.same(tx, job.import_id, job.content_hash) if job.content_hash else None

    async def page(self, tx: Tx, after: tuple[datetime, str] | None, limit: int) -> list[Import]:
        """Imports, the newest first."""
        return await store.page(tx, after, limit)

    async def faults(
        self, tx: Tx, job: Import, after: tuple[int, int] | None, limit: int
    ) -> list[tuple[FaultRow, str | None]]:
        """What is wrong with rows, in their order; beside the first fault of a row what its file said, as long as that
        is kept."""
        sealer = await sealer_of(tx, self.customers.vault, job)
        found = await row_store.faults(tx, job.import_id, after, limit)
        return [
            (one, sealer.open(of_fault(one.row), one.record) if sealer and one.record is not None else None)
            for one in found
        ]

    async def differences(self, tx: Tx, job: Import) -> list[Difference]:
        """The first differences that a dry run found, as long as they are kept."""
        sealer = await sealer_of(tx, self.customers.vault, job)
        if sealer is None:
            return []
        found = await row_store.differences(tx, job.import_id)
        return [msgspec.json.decode(sealer.open(DIFFERENCE, body), type=Difference) for body in found]

    async def leftovers(self, tx: Tx, job: Import, after: tuple[str, str, str] | None, limit: int) -> list[Leftover]:
        """What a revert had to leave."""
        return await touched_store.leftovers(tx, job.import_id, after, limit)

    async def revert(self, tx: Tx, import_id: str, by: str) -> Import | None:
        """Stops it where it stands, and has it taken back by the job; None if there is no such import.

        Raises NotRevertible.
        """
        job = await store.find(tx, import_id, lock=True)
        if job is None or job.state == "receiving":
            return None
        if job.state in ("reverting", "reverted"):
            return job
        if not await store.reverting(tx, import_id, by, self.customers.clock.now()):
            raise NotRevertible(import_id)
        return await store.find(tx, import_id)
