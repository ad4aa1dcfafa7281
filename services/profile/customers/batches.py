"""Many writes to files in one transaction, decided one by one in memory and written as sets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.profile.attributes import application as attributes
from services.profile.attributes.domain import AttributeType, checked
from services.profile.customers import loading, store
from services.profile.customers.announcements import change, registration
from services.profile.customers.application import AHEAD, Customers, TrueTooLate
from services.profile.customers.contact_points import ContactPoint
from services.profile.customers.domain import CustomerFile, Saying, changed, new_file, winning
from services.profile.customers.parts import whole
from services.profile.customers.sealing import has_addresses, opened_part, sealed_parts, sealed_points
from services.profile.vault.domain import Sealer
from shared.contracts.customers import CustomerFields
from shared.contracts.types import Cause
from shared.db import Tx
from shared.messaging.outbox import Outgoing

_ATTRIBUTE = "attributes."
_ADDRESSES = "contact_points."
_sorted = msgspec.json.Encoder(order="deterministic")
_BLANK = new_file("", {}, datetime.min.replace(tzinfo=UTC))


class Write(msgspec.Struct, frozen=True):
    """What one write does: the file before (None: there was none) and after, what it says, and what of it stands.

    ``repeated``: what it would say, but stands already, and since when."""

    before: CustomerFile | None
    after: CustomerFile
    parts: dict[str, Any]
    won: dict[str, Any]
    source: str
    true_at: datetime
    repeated: dict[str, datetime] = {}


@dataclass(slots=True)
class FileBatch:
    """The files that a batch writes, locked, as they are after the writes so far.

    What a batch brings is loaded, and so are its events: it makes nobody a new customer.
    The same rules as one by one in ``Customers``, but what stands already isn't said again, unless with a later time.
    """

    customers: Customers
    now: datetime
    declared: Mapping[str, AttributeType]
    files: dict[str, CustomerFile]
    _standing: dict[str, CustomerFile] = field(default_factory=dict)
    _writes: list[Write] = field(default_factory=list)
    events: list[Outgoing] = field(default_factory=list)

    @classmethod
    async def hold(
        cls, customers: Customers, tx: Tx, ids: Iterable[str], attribute_names: Iterable[str]
    ) -> "FileBatch":
        """Locks the files of these ids and reads them."""
        wanted = sorted(set(ids))
        await loading.hold(tx, wanted)
        files = {file.customer_id: file for file in await store.find_all(tx, customers.vault.opener, wanted)}
        declared = await attributes.types(tx, attribute_names)
        return cls(customers, customers.clock.now(), declared, files, dict(files))

    def file(self, customer_id: str) -> CustomerFile:
        """The file as it is now; an empty one where there is none."""
        return self.files.get(customer_id) or new_file(customer_id, {}, self.now)

    def decide(self, customer_id: str, parts: Mapping[str, Any], saying: Saying, default: datetime) -> Write:
        """What a write does; ``take`` makes it so. ``default``: since when it is true, where ``saying`` has no time.

        Addresses are normalised already. Raises InvalidAttribute, TrueTooLate.
        """
        before = self.files.get(customer_id)
        true_at = saying.as_of or default
        if true_at > self.now + AHEAD:
            raise TrueTooLate(true_at)
        worn = {name.removeprefix(_ATTRIBUTE): value for name, value in parts.items() if name.startswith(_ATTRIBUTE)}
        if worn:
            kept = checked(worn, self.declared)
            parts = {**parts, **{f"{_ATTRIBUTE}{name}": value for name, value in kept.items()}}
        if before is None:
            fields = {**whole(_BLANK, parts), "said_at": dict.fromkeys(parts, true_at)}
            made = new_file(customer_id, fields, self.now)
            return Write(None, made, dict(parts), dict(parts), saying.source, true_at)
        said = {
            name: value
            for name, value in parts.items()
            if not self._stands(before, name, value, true_at, saying.as_of is not None)
        }
        won = winning(before, said, true_at)
        after = changed(before, whole(before, won), self.now) if won or before.bare else before
        if won:
            said_at = {**before.said_at, **dict.fromkeys(won, true_at)}
            after = msgspec.structs.replace(after, said_at=said_at)
        repeated = {name: before.said_at[name] for name in parts if name not in said}
        return Write(before, after, said, won, saying.source, true_at, repeated)

    def take(self, write: Write, cause: Cause, trace: str | None) -> None:
        """Makes a decided write part of the batch, and its event."""
        self.files[write.after.customer_id] = write.after
        self._writes.append(write)
        event: CustomerFields | None
        if write.before is None:
            event = registration(write.after, cause, self.customers.day)
        else:
            event = change(write.before, write.after, cause, self.customers.day, self.now)
        if event:
            self.events.append(Outgoing(event, trace, backfill=True))

    def put_back(self, after: CustomerFile, cause: Cause, trace: str | None) -> bool:
        """Makes a file what it was before something that is being taken back; False where it is that already."""
        before = self.files[after.customer_id]
        if after == before:
            return False
        self.files[after.customer_id] = after
        if event := change(before, after, cause, self.customers.day, self.now):
            self.events.append(Outgoing(event, trace, backfill=True))
        return True

    async def save(self, tx: Tx, sources: str) -> None:
        """Writes what was taken, a handful of statements for all of it, but for ``events``, which go to the outbox.

        A value that isn't the newest is kept once, however often a source whose name begins with ``sources`` tells it.
        Raises asyncpg.UniqueViolationError where somebody made one of the files meanwhile: the transaction is lost, and
        is to be done again.
        """
        new = [file for who, file in sorted(self.files.items()) if who not in self._standing]
        edited = [file for who, file in sorted(self.files.items()) if file != self._standing.get(who, file)]
        if new:
            await loading.add(tx, new)
        if edited:
            await loading.rewrite(tx, edited)
        sealers = await self._put_addresses(tx, [*new, *edited])
        await self._keep(tx, sealers, sources)

    async def _put_addresses(self, tx: Tx, written: Iterable[CustomerFile]) -> dict[str, Sealer]:
        readdressed = {
            file.customer_id: file
            for file in written
            if file.contact_points != (known.contact_points if (known := self._standing.get(file.customer_id)) else ())
        }
        secret = {write.after.customer_id for write in self._writes if has_addresses(write.parts)}
        vault = self.customers.vault
        sealers = await vault.sealers(tx, {*readdressed, *secret}) if readdressed or secret else {}
        if readdressed:
            index = await vault.index(tx)
            sealed = {who: sealed_points(file.contact_points, sealers[who], index) for who, file in readdressed.items()}
            await loading.put_points(tx, sealed, [who for who in readdressed if who in self._standing])
        return sealers

    async def _keep(self, tx: Tx, sealers: Mapping[str, Sealer], sources: str) -> None:
        asked = {
            (write.after.customer_id, name, write.true_at)
            for write in self._writes
            for name in write.parts
            if name not in write.won
        }
        told = {
            (one.customer_id, one.field, one.true_at, _comparable(_said_before(one, sealers)))
            for one in (await loading.told(tx, asked, sources) if asked else ())
            # Who brings no address now says something else than the one that stands sealed.
            if one.sealed is None or one.customer_id in sealers
        }
        rows = []
        for write in self._writes:
            who, at = write.after.customer_id, write.true_at
            for part in sealed_parts(write.parts, sealers.get(who)):
                late = told and part.field not in write.won
                if not (late and (who, part.field, at, _comparable(write.parts[part.field])) in told):
                    rows.append((who, part, write.source, at, self.now))
        await loading.keep(tx, rows)

    @staticmethod
    def _stands(file: CustomerFile, name: str, value: Any, true_at: datetime, timed: bool) -> bool:
        if name not in file.said_at or standing_part(file, name) != value:
            return False
        return not timed or file.said_at[name] == true_at


def standing_part(file: CustomerFile, name: str) -> Any:
    """What a file says of a part: ``name``, ``attributes.shoe``, ``contact_points.email``."""
    head, _, part = name.partition(".")
    if name.startswith(_ADDRESSES):
        return tuple(point for point in file.contact_points if point.kind == part)
    return getattr(file, head).get(part) if part else getattr(file, name)


async def fallen_back(tx: Tx, batch: FileBatch, customers: Sequence[str], source: str) -> dict[str, CustomerFile]:
    """The files of these customers as they are without what a source has said; their histories have lost it."""
    found = await loading.take_back(tx, customers, source)
    sealers = await batch.customers.vault.openers(tx, {one.customer_id for one in found if one.sealed})
    parts: dict[str, dict[str, Any]] = {}
    since: dict[str, dict[str, datetime | None]] = {}
    for one in found:
        parts.setdefault(one.customer_id, {})[one.field] = _said_before(one, sealers)
        since.setdefault(one.customer_id, {})[one.field] = one.true_at
    return {who: _back(batch.files[who], parts[who], since[who], batch.now) for who in parts}


async def remove(tx: Tx, customers: Sequence[str]) -> None:
    """Takes files away, with their addresses, histories, identifiers and keys."""
    if customers:
        await loading.remove(tx, customers)


def _comparable(value: Any) -> bytes:
    """A part as JSON, the same however it is held: as it is said, or as a history keeps it."""
    return _sorted.encode(msgspec.json.decode(msgspec.json.encode(value)))


def _back(
    file: CustomerFile, parts: Mapping[str, Any], since: Mapping[str, datetime | None], now: datetime
) -> CustomerFile:
    fields = whole(file, parts)
    typed = msgspec.convert({"customer_id": "", "created_at": now, "updated_at": now, **fields}, CustomerFile)
    after = msgspec.structs.replace(file, **{name: getattr(typed, name) for name in fields})
    if after != file:
        after = msgspec.structs.replace(after, version=file.version + 1, updated_at=now)
    said_at = {**file.said_at, **{name: at for name, at in since.items() if at is not None}}
    for name in (name for name, at in since.items() if at is None):
        said_at.pop(name, None)
    return msgspec.structs.replace(after, said_at=said_at)


def _said_before(one: loading.Standing, sealers: Mapping[str, Sealer]) -> Any:
    if one.true_at is None:
        if one.field.startswith(_ADDRESSES):
            return ()
        return None if "." in one.field else getattr(_BLANK, one.field)
    if one.sealed is not None:
        said = opened_part(one.field, one.sealed, sealers[one.customer_id])
    else:
        said = msgspec.json.decode(one.value or "null")
    return msgspec.convert(said, tuple[ContactPoint, ...]) if one.field.startswith(_ADDRESSES) else said
