"""Making and changing customer files."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from services.profile.attributes import application as attributes
from services.profile.customers import store
from services.profile.customers.announcements import change, registration
from services.profile.customers.contact_points import all_normalised
from services.profile.customers.domain import (
    CustomerFile,
    Role,
    Said,
    Saying,
    bare_file,
    changed,
    handed_over,
    new_file,
    part_of,
    winning,
)
from services.profile.customers.parts import parts_of, whole
from services.profile.customers.quality import Day
from services.profile.customers.sealing import has_addresses, sealed_parts, sealed_points
from services.profile.vault.application import Vault
from shared.clock import Clock
from shared.contracts.types import Cause
from shared.db import Row, Tx
from shared.messaging import merges, outbox
from shared.messaging.erased import Erased
from shared.messaging.events import Event
from shared.messaging.outbox import Outgoing

SERVICE = "profile"
FILE_COLUMNS = store.FILE
"""For whoever reads files with something else in one statement, of ``customers AS c`` and ``customer_keys``."""
Fields = Mapping[str, Any]
AHEAD = timedelta(hours=24)
HANDED_AT_ONCE = 500
_ATTRIBUTE = "attributes."


class CustomerExists(Exception):
    """Somebody made a file of this id before."""

    code = "customer-exists"


class TrueTooLate(Exception):
    """What is written is true only from more than 24 hours ahead on."""

    code = "as-of-ahead"


@dataclass(frozen=True, slots=True)
class Customers:
    """The use cases of this module. ``phone_region``: the country of numbers without a country code. ``day``: of the
    house's zone."""

    clock: Clock
    phone_region: str
    vault: Vault
    erased: Erased | None = None
    day: Day = datetime.date

    async def meet(self, tx: Tx, events: Sequence[Event]) -> list[str]:
        """Makes a bare file for each customer of these events who has none, and announces it; answers whose.

        Of whom loaded history is among them is no new customer: his file's event is of loaded history, too.
        """
        first: dict[str, Event] = {}
        for event in events:
            first.setdefault(event.key, event)
        if not first:
            return []
        now, loaded = self.clock.now(), {event.key for event in events if event.backfill}
        met = sorted(await store.meet(tx, sorted(first), now))
        registered = [
            Outgoing(
                registration(bare_file(who, now), first[who].cause, self.day), first[who].traceparent, who in loaded
            )
            for who in met
        ]
        await outbox.append(tx, SERVICE, registered, now)
        return met

    async def create(
        self,
        tx: Tx,
        customer_id: str | None,
        fields: Fields,
        cause: Cause,
        trace: str | None = None,
        *,
        saying: Saying | None = None,
        loaded: bool = False,
    ) -> CustomerFile:
        """A new file, under a generated id where none is given; of what isn't among ``fields`` nothing is said.

        The bare file of somebody who was met by an event is filled in. ``saying``: by default that of the cause, now.
        ``loaded``: history made him known, he needn't be new.
        Raises CustomerExists, InvalidAttribute, InvalidContactPoint, TrueTooLate,
        CustomerIsErased.
        """
        if customer_id is not None and self.erased is not None:
            await merges.share(tx)
            await self.erased.refuse(tx, [customer_id])
        now, saying = self.clock.now(), saying or Saying(cause.source)
        true_at, blank = _since(saying, now), new_file(customer_id or f"c_{uuid4().hex}", {}, now)
        parts = await self._parts(tx, blank, fields)
        file = msgspec.structs.replace(blank, **whole(blank, parts), said_at=dict.fromkeys(parts, true_at))
        if await store.insert(tx, file):
            await store.update(tx, file)
            await self._keep(tx, blank, file, parts, Saying(saying.source, true_at), now)
            await outbox.append(tx, SERVICE, [Outgoing(registration(file, cause, self.day), trace, loaded)], now)
            return file
        known = await self._locked(tx, file.customer_id)
        if known is None or not known.bare:
            raise CustomerExists(file.customer_id)
        return await self._save(tx, known, fields, cause, trace, saying)

    def file_of(self, row: Row) -> CustomerFile:
        """The file of a row that has, among others, ``FILE_COLUMNS``. Raises Unreadable."""
        return store.file_of(row, self.vault.opener)

    async def find(self, tx: Tx, customer_id: str) -> CustomerFile | None:
        """A customer's file."""
        return await store.find(tx, self.vault.opener, customer_id)

    async def find_all(self, tx: Tx, customers: Sequence[str]) -> list[CustomerFile]:
        """The files of those of these customers who have one, in one read."""
        return await store.find_all(tx, self.vault.opener, customers)

    async def exists(self, tx: Tx, customer_id: str) -> bool:
        """Whether there is a file."""
        return await store.exists(tx, customer_id)

    async def change(
        self,
        tx: Tx,
        customer_id: str,
        edit: Callable[[CustomerFile], Fields],
        cause: Cause,
        trace: str | None = None,
        *,
        saying: Saying | None = None,
    ) -> CustomerFile | None:
        """The file with the fields that ``edit`` makes of the locked one; None if there is none.

        Every field (or part, as ``attributes.shoe``) that ``edit`` answers counts as said again, at the time of
        ``saying``; what is known to be true since later stays. Raises what ``edit`` raises, InvalidAttribute,
        InvalidContactPoint, TrueTooLate.
        """
        file = await self._locked(tx, customer_id)
        return await self._save(tx, file, edit(file), cause, trace, saying) if file else None

    async def history(
        self, tx: Tx, customers: Sequence[str], field: str | None, *, after: tuple[datetime, int] | None, limit: int
    ) -> list[Said]:
        """What was ever written of files, or of a field and its parts; true since latest first."""
        return await store.history(tx, self.vault.opener, customers, field, after=after, limit=limit)

    async def hand_over(
        self, tx: Tx, role: Role, giver: str, taker: str, source: str, cause: Cause, trace: str | None = None
    ) -> int:
        """Gives up to ``HANDED_AT_ONCE`` customers of one person to another, and answers how many; 0: it is done.

        Whoever asks again goes on where it stopped.
        """
        now = self.clock.now()
        served = await store.served_by(tx, role, giver, HANDED_AT_ONCE)
        before = await store.find_all(tx, self.vault.opener, served)
        if not before:
            return 0
        after = [handed_over(file, role, taker, now) for file in before]
        await store.hand_over(tx, after, role, part_of(role), taker, source, now)
        said = [change(old, new, cause, self.day, now) for old, new in zip(before, after, strict=True)]
        await outbox.append(tx, SERVICE, [Outgoing(event, trace) for event in said if event], now)
        return len(before)

    async def restrict(
        self, tx: Tx, ids: Iterable[str], cause: Cause, trace: str | None = None, *, restricted: bool
    ) -> list[str]:
        """Makes these ids' files restricted, or lifts it; answers those for whom that is new. Their version stays."""
        now = self.clock.now()
        known = [await self._locked(tx, one) for one in sorted(ids)]
        before = [file for file in known if file is not None and file.restricted is not restricted]
        after = [msgspec.structs.replace(file, restricted=restricted, updated_at=now) for file in before]
        for file in after:
            await store.restrict(tx, file)
        said = [change(old, new, cause, self.day, now) for old, new in zip(before, after, strict=True)]
        await outbox.append(tx, SERVICE, [Outgoing(event, trace) for event in said if event], now)
        return [file.customer_id for file in after]

    async def _save(
        self,
        tx: Tx,
        before: CustomerFile,
        fields: Fields,
        cause: Cause,
        trace: str | None,
        saying: Saying | None,
    ) -> CustomerFile:
        now, saying = self.clock.now(), saying or Saying(cause.source)
        true_at, parts = _since(saying, now), await self._parts(tx, before, fields)
        won = winning(before, parts, true_at)
        after = changed(before, whole(before, won), now)
        after = msgspec.structs.replace(after, said_at={**before.said_at, **dict.fromkeys(won, true_at)})
        if after != before:
            await store.update(tx, after)
        await self._keep(tx, before, after, parts, Saying(saying.source, true_at), now)
        if after != before and (event := change(before, after, cause, self.day, now)):
            await outbox.append(tx, SERVICE, [Outgoing(event, trace)], now)
        return after

    async def _locked(self, tx: Tx, customer_id: str) -> CustomerFile | None:
        return await store.find(tx, self.vault.opener, customer_id, lock=True)

    async def _keep(
        self, tx: Tx, before: CustomerFile, after: CustomerFile, parts: Fields, said: Saying, now: datetime
    ) -> None:
        """The addresses, where they are others, and the history."""
        who, readdressed, sealer = after.customer_id, before.contact_points != after.contact_points, None
        if readdressed or has_addresses(parts):
            sealer = (await self.vault.sealers(tx, [who]))[who]
        if sealer is not None and readdressed:
            await store.put_points(tx, who, sealed_points(after.contact_points, sealer, await self.vault.index(tx)))
        await store.keep(tx, who, sealed_parts(parts, sealer), said.source, said.as_of or now, now)

    async def _parts(self, tx: Tx, file: CustomerFile, fields: Fields) -> dict[str, Any]:
        parts = parts_of(
            file,
            {
                name: all_normalised(value, self.phone_region) if name.startswith("contact_points") else value
                for name, value in fields.items()
            },
        )
        worn = {name.removeprefix(_ATTRIBUTE): value for name, value in parts.items() if name.startswith(_ATTRIBUTE)}
        return parts | {f"{_ATTRIBUTE}{name}": value for name, value in (await attributes.check(tx, worn)).items()}


def _since(saying: Saying, now: datetime) -> datetime:
    true_at = saying.as_of or now
    if true_at > now + AHEAD:
        raise TrueTooLate(true_at)
    return true_at
