"""Taking an import back: what it said of people falls out of their files, and what others said stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.profile.consents import application as ledger
from services.profile.consents.application import ConsentBatch
from services.profile.consents.domain import Consent
from services.profile.customers.application import SERVICE, Customers
from services.profile.customers.batches import FileBatch, fallen_back, remove
from services.profile.identifiers.batches import hold, take_back
from services.profile.identities.application import Identities, persons
from services.profile.identities.domain import Person
from services.profile.imports import touched_store
from services.profile.imports.applying import SOURCE
from services.profile.imports.domain import Import, Leftover
from services.profile.imports.parting import part, suspects
from services.profile.imports.touched_store import Touched
from services.profile.segments.application import mark_due
from shared.contracts.types import Cause
from shared.db import Tx
from shared.messaging import outbox


@dataclass(frozen=True, slots=True)
class Reverting:
    """Takes an import back, a chunk a transaction."""

    customers: Customers
    identities: Identities

    async def chunk(self, tx: Tx, job: Import, *, merges_held: bool = False) -> None:
        """Takes the last chunk back that stands: of whom several name, the one that made him is the last to go.

        Raises MergesStand."""
        touched = await touched_store.of_chunk(tx, job.import_id, job.next_chunk - 1)
        cause = Cause(source=SOURCE, id=f"{job.import_id}:revert")
        ids = [one.customer_id for one in touched]
        people = await persons(tx, ids)
        files = await FileBatch.hold(self.customers, tx, (who for one in people.values() for who in one.ids), ())
        left = await self._consents(tx, job, touched, people, files, cause)
        await hold(tx, [made for one in touched for made in one.identifiers])
        await take_back(tx, await touched_store.brought_alone(tx, job))

        standing = [one for one in touched if one.customer_id in files.files]
        after = {one.customer_id: files.files[one.customer_id] for one in standing}
        await touched_store.hand_on(tx, job, list(after))
        suspected = await suspects(tx, job, people.values())
        after |= await fallen_back(tx, files, list(after), job.source)
        empty = {who for who, file in after.items() if not file.said_at}
        made = {one.customer_id for one in standing if one.created}
        known = await touched_store.with_traces(tx, sorted(made & empty), job.import_id) if made & empty else set()
        stays = (made - empty) | known
        bare = {one.customer_id for one in standing if one.bare or one.created} & empty
        for who, file in after.items():
            files.put_back(msgspec.structs.replace(file, bare=who in bare or file.bare), cause, job.traceparent)
        left += [
            Leftover(who, "touched-since", "the file stays: something else is known of this customer")
            for who in sorted(stays)
        ]
        await files.save(tx, "import:")
        await outbox.append(tx, SERVICE, files.events, files.now)
        await remove(tx, sorted(made - stays))
        left += await part(tx, self.identities, job, suspected, cause, held=merges_held)
        await mark_due(tx, made - stays)
        restored = after.keys() - (made - stays) - await touched_store.in_earlier_chunks(tx, job, sorted(after))
        await touched_store.reverted(tx, job.import_id, len(made - stays), len(restored), left)

    async def _consents(
        self,
        tx: Tx,
        job: Import,
        touched: Sequence[Touched],
        people: dict[str, Person],
        files: FileBatch,
        cause: Cause,
    ) -> list[Leftover]:
        """A grant that still is the last word gives way to what was said before it; a withdrawal stands: nothing but
        the person himself widens consent."""
        left: list[Leftover] = []
        concerned = [one for one in touched if one.consents and one.customer_id in files.files]
        if not concerned:
            return left
        said = await ledger.everything_said(tx, [one.customer_id for one in concerned])
        batch = await ConsentBatch.of(
            tx,
            (who for one in concerned for who in people[one.customer_id].ids),
            files.files,
            files.events,
            loaded=True,
        )
        for one in concerned:
            for channel, purpose, granted, at in dict.fromkeys(one.consents):
                words = [word for word in said[one.customer_id] if (word.channel, word.purpose) == (channel, purpose)]
                ours = [word for word in words if _ours(word, one)]
                if not words or words[-1] not in ours or (words[-1].granted, words[-1].recorded_at) != (granted, at):
                    continue
                if not granted:
                    left.append(Leftover(one.customer_id, "consent-withdrawn", f"{channel} {purpose} stays withdrawn"))
                    continue
                earlier = next((word for word in reversed(words) if word not in ours), None)
                back = self._instead(job, words[-1], earlier, files.now)
                batch.put(people[one.customer_id], back, cause, job.traceparent)
        await batch.save(tx)
        return left

    @staticmethod
    def _instead(job: Import, ours: Consent, earlier: Consent | None, now: datetime) -> Consent:
        if earlier is not None and earlier.granted:
            return msgspec.structs.replace(earlier, recorded_at=now)
        return msgspec.structs.replace(ours, granted=False, source=f"revert:{job.import_id}", recorded_at=now)


def _ours(word: Consent, one: Touched) -> bool:
    return (word.channel, word.purpose, word.granted, word.recorded_at) in one.consents
