"""A chunk of rows, decided one by one and written as a set."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

import msgspec

from services.profile.attributes.domain import InvalidAttribute
from services.profile.consents.application import ConsentBatch
from services.profile.consents.domain import Consent
from services.profile.customers.application import SERVICE, Customers, TrueTooLate
from services.profile.customers.batches import FileBatch, Write, standing_part
from services.profile.customers.domain import Saying
from services.profile.identifiers.batches import IdentifierBatch, Named
from services.profile.identifiers.domain import IdentifierKind
from services.profile.identifiers.loading import Held
from services.profile.identities.application import persons
from services.profile.identities.domain import Person
from services.profile.imports.domain import ERASED, Difference, Fault, Import, Refused, Tally
from services.profile.imports.rows import Prepared, fields_said
from services.profile.imports.touched_store import Touched, repeated_identifier
from shared.contracts.erasures import PSEUDONYM
from shared.contracts.types import Cause
from shared.db import Tx
from shared.http.bodies import pointer
from shared.messaging import outbox

SOURCE = "/roost/profile/imports"


@dataclass(slots=True)
class Applied:
    """What became of the rows of a chunk."""

    tally: Tally = field(default_factory=Tally)
    refused: list[tuple[int, str | None, Sequence[Fault]]] = field(default_factory=list)
    touched: dict[str, Touched] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Applying:
    """Takes rows into the files as the routes of customers, consents and identifiers do one by one."""

    customers: Customers

    async def apply(
        self,
        tx: Tx,
        job: Import,
        rows: Sequence[Prepared],
        *,
        made: Iterable[str] = (),
        held: Callable[[], None] = lambda: None,
    ) -> Applied:
        """Each row wholly or not at all; of a dry run nothing is written. ``made``: whom its earlier chunks would have
        made. ``held`` is told when all files that there are of the rows' customers are locked.

        Raises asyncpg.UniqueViolationError where somebody was faster: the transaction is to be done again.
        """
        now, applied = self.customers.clock.now(), Applied()
        if not rows:
            return applied
        named = [(one.kind, one.value) for prepared in rows for one in prepared.row.identifiers]
        identifiers = await IdentifierBatch.of(self.customers.vault, tx, named, now)
        wanted = [_whom(prepared, identifiers) for prepared in rows]
        people = await persons(tx, {*wanted, *identifiers.everybody})
        concerned = {customer: people[customer] for customer in wanted}
        attributes = {name for prepared in rows for name in prepared.row.attributes}
        everybody = sorted({customer for person in concerned.values() for customer in person.ids})
        files = await FileBatch.hold(self.customers, tx, everybody, attributes)
        held()
        await identifiers.look_again(tx)
        erased = await self._erased(tx, everybody)
        spoken = {
            customer
            for prepared, who in zip(rows, wanted, strict=True)
            if prepared.row.consents
            for customer in concerned[who].ids
        }
        consents = await ConsentBatch.of(tx, spoken, files.files, files.events, loaded=True)
        chunk = _Chunk(job, now, files, consents, identifiers, people, frozenset(made), self.customers.phone_region)
        for prepared, who in zip(rows, wanted, strict=True):
            try:
                if not erased.isdisjoint(people[who].ids):
                    raise Refused(Fault(ERASED, "/customer_id", "this customer was erased"))
                chunk.take(prepared, people[who], applied)
            except Refused as error:
                applied.tally.failed += 1
                applied.refused.append((prepared.number, prepared.row.customer_id, error.faults))
        if not job.dry_run:
            await files.save(tx, "import:")
            await identifiers.save(tx)
            await consents.save(tx)
            await outbox.append(tx, SERVICE, files.events, now)
        return applied

    async def _erased(self, tx: Tx, customers: Sequence[str]) -> set[str]:
        known = await self.customers.erased.find(tx, customers) if self.customers.erased else {}
        return {*known, *(customer for customer in customers if customer.startswith(PSEUDONYM))}


@dataclass(frozen=True, slots=True)
class _Chunk:
    job: Import
    now: datetime
    files: FileBatch
    consents: ConsentBatch
    identifiers: IdentifierBatch
    people: dict[str, Person]
    made: frozenset[str]
    region: str

    def take(self, prepared: Prepared, person: Person, applied: Applied) -> None:
        """Raises Refused before anything of the row is taken."""
        who, job = person.customer_id, self.job
        cause = Cause(source=SOURCE, id=f"{job.import_id}:{prepared.number}")
        write = self._decided(prepared, who)
        fresh, named = self._named(prepared, person)
        said = [consent for consent in self._said(prepared) if not self.consents.repeats(person, consent)]

        if write.before is None or write.parts or write.after != write.before:
            self.files.take(write, cause, job.traceparent)
        ids = tuple(self.identifiers.add(kind, value, who) for kind, value in fresh)
        self.consents.known_ids.add(who)
        for consent in said:
            self.consents.put(person, consent, cause, job.traceparent)

        created = write.before is None and who not in self.made
        changed = bool(said or ids or (write.before is None and write.parts)) or (
            write.before is not None and write.after.version != write.before.version
        )
        outcome = "created" if created else "changed" if changed else "unchanged"
        setattr(applied.tally, outcome, getattr(applied.tally, outcome) + 1)
        new = bool(created or changed or write.parts)
        if new or write.repeated:
            self._note(write, created, said, ids, applied, new=new)
        for held in named:
            self._repeat(held, applied)
        if job.dry_run and (created or changed):
            applied.differences.append(_difference(prepared.number, write, created, said, fresh))

    def _decided(self, prepared: Prepared, who: str) -> Write:
        said = Saying(self.job.source, prepared.row.as_of or self.job.as_of)
        parts = fields_said(prepared, self.files.file(who), self.region)
        try:
            return self.files.decide(who, parts, said, self.job.created_at)
        except InvalidAttribute as error:
            raise Refused(Fault(error.code, pointer(("attributes", error.name)), str(error))) from None
        except TrueTooLate as error:
            detail = "nothing may be true only from more than 24 hours ahead on"
            raise Refused(Fault(error.code, "/as_of", detail)) from None

    def _named(self, prepared: Prepared, person: Person) -> tuple[list[Named], list[Held]]:
        """The identifiers that nobody has yet, and those that he has."""
        fresh: list[Named] = []
        named: list[Held] = []
        for kind, value in dict.fromkeys((one.kind, one.value) for one in prepared.row.identifiers):
            held = self.identifiers.kept(kind, value)
            if held is None:
                self._check_forgotten(prepared, kind, value)
                fresh.append((kind, value))
            elif held.customer_id in person.ids:
                named.append(held)
            else:
                raise Refused(Fault("identifier-taken", "/identifiers", f"somebody else has this {kind}"))
        return fresh, named

    def _check_forgotten(self, prepared: Prepared, kind: IdentifierKind, value: str) -> None:
        """A file from before his erasure, or of nobody knows when, brings nobody back by his number alone."""
        since, as_of = self.identifiers.erased_at(kind, value), prepared.row.as_of or self.job.as_of
        if since and prepared.row.customer_id is None and (as_of is None or as_of <= since):
            raise Refused(Fault(ERASED, "/identifiers", f"whoever had this {kind} was erased"))

    def _said(self, prepared: Prepared) -> list[Consent]:
        at = min(prepared.row.as_of or self.job.as_of or self.job.created_at, self.now)
        return [
            Consent(one.channel, one.purpose, one.granted, one.source, one.wording_version, at)
            for one in prepared.row.consents
        ]

    def _note(
        self, write: Write, created: bool, said: list[Consent], ids: tuple[str, ...], applied: Applied, *, new: bool
    ) -> None:
        who, bare = write.after.customer_id, write.before is not None and write.before.bare
        before = applied.touched.get(who) or Touched(who, created, bare, repeats_only=True)
        consents = tuple((one.channel, one.purpose, one.granted, one.recorded_at) for one in said)
        applied.touched[who] = msgspec.structs.replace(
            before,
            consents=before.consents + consents,
            identifiers=before.identifiers + ids,
            repeated=before.repeated | write.repeated,
            repeats_only=before.repeats_only and not new,
        )

    @staticmethod
    def _repeat(held: Held, applied: Applied) -> None:
        """Under the id that the identifier stands under, which needn't be the one that the row means."""
        who = held.customer_id
        before = applied.touched.get(who) or Touched(who, created=False, repeats_only=True)
        repeated = before.repeated | {repeated_identifier(held.identifier_id): held.recorded_at}
        applied.touched[who] = msgspec.structs.replace(before, repeated=repeated)


def _whom(prepared: Prepared, identifiers: IdentifierBatch) -> str:
    """The id that a row means: its own, that of whom one of its identifiers stands for, or a new one."""
    names = [(one.kind, one.value) for one in prepared.row.identifiers]
    held = (identifiers.holder(kind, value) for kind, value in names)
    who = prepared.row.customer_id or next((one for one in held if one), None) or f"c_{uuid4().hex}"
    for kind, value in names:
        identifiers.promise(kind, value, who)
    return who


def _difference(number: int, write: Write, created: bool, said: list[Consent], fresh: Sequence[Named]) -> Difference:
    fields = {
        name: (standing_part(write.before, name) if write.before else None, value) for name, value in write.won.items()
    }
    fields |= {f"consents.{one.channel}.{one.purpose}": (None, one.granted) for one in said}
    fields |= {f"identifiers.{kind}": (None, value) for kind, value in fresh}
    return Difference(number, write.after.customer_id, "created" if created else "changed", fields)
