"""Taking an import back: what it said of people falls out of their files, and what others said stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.profile.consents import application as ledger
from services.profile.consents.application import ConsentBatch
from services.profile.consents.domain import Consent
from services.profile.customers.application import Customers
from services.profile.customers.batches import FileBatch, fallen_back, remove
from services.profile.identifiers.batches import take_back
from services.profile.identities.application import persons
from services.profile.identities.domain import Person
from services.profile.imports import store
from services.profile.imports.applying import SOURCE
from services.profile.imports.domain import Import, Leftover
from services.profile.imports.store import Touched
from services.profile.segments.application import mark_due
from shared.contracts.types import Cause
from shared.db import Tx

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Reverting:
    """The page of customers of whom an import is taken back next."""

    customers: Customers

    async def page(self, tx: Tx, job: Import) -> int:
        """Takes it back of some hundreds, and answers how many; 0: it is done."""
        touched = await store.to_revert(tx, job.import_id, AT_ONCE)
        if not touched:
            return 0
        cause = Cause(source=SOURCE, id=f"{job.import_id}:revert")
        ids = [one.customer_id for one in touched]
        people = await persons(tx, ids)
        files = await FileBatch.hold(self.customers, tx, (who for one in people.values() for who in one.ids), ())
        left = await self._consents(tx, job, touched, people, files, cause)
        await take_back(tx, [(made, one.customer_id) for one in touched for made in one.identifiers])

        before = dict(files.files)
        after = await fallen_back(tx, files, [who for who in ids if who in before], job.source)
        empty = {who for who, file in after.items() if not file.said_at}
        made = {one.customer_id for one in touched if one.created and one.customer_id in empty}
        stays = await store.with_traces(tx, sorted(made), job.import_id) if made else set()
        bare = {one.customer_id for one in touched if one.bare or one.created} & empty
        restored = 0
        for who, file in after.items():
            gone = who in made and who not in stays
            if who in bare or gone:
                file = msgspec.structs.replace(file, bare=True)
            put_back = files.put_back(file, cause, job.traceparent)
            restored += put_back and not gone
        left += [
            Leftover(who, "touched-since", "the file stays, empty: something else is known of this customer")
            for who in sorted(stays)
        ]
        await files.save(tx, "import:")
        await remove(tx, sorted(made - stays))
        await mark_due(tx, made - stays, files.now)
        await store.reverted(tx, job.import_id, ids, len(made - stays), restored, left)
        return len(touched)

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
        batch = await ConsentBatch.hold(tx, (who for one in concerned for who in people[one.customer_id].ids))
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
