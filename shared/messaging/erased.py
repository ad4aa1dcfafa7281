"""Who was erased, by a keyed hash of his id, for ever: what names him is refused, and isn't kept."""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from shared.contracts.erasures import PSEUDONYM, CustomerErased, ErasureCompleted
from shared.contracts.merges import Merge
from shared.db import Tx, execute, fetch
from shared.messaging.dead_letters import DeadLetter
from shared.messaging.events import Event
from shared.messaging.records import Record

CODE = "customer-erased"
DETAIL = "its customer was erased: the event is refused, and not kept"

# A batch and an erasure never run side by side: who reads after the wait must see what was committed meanwhile, and
# each statement of a volatile function has a snapshot of its own. Asked for nobody, it answers whether there is any.
ERASED_V1 = """
CREATE TABLE erased_ids (
    digest bytea PRIMARY KEY,
    erasure_id text NOT NULL,
    erased_at timestamptz NOT NULL
);
ALTER TABLE flow ADD COLUMN refused bigint NOT NULL DEFAULT 0;
CREATE FUNCTION erased_among(digests bytea[], alone boolean) RETURNS SETOF bytea LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF alone THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('roost.erasures', 0));
    ELSE
        PERFORM pg_advisory_xact_lock_shared(hashtextextended('roost.erasures', 0));
    END IF;
    IF cardinality(digests) = 0 THEN
        RETURN QUERY SELECT digest FROM erased_ids LIMIT 1;
    ELSE
        RETURN QUERY SELECT digest FROM erased_ids WHERE digest = ANY(digests);
    END IF;
END $$;
"""
FOR_EVER = 'REVOKE UPDATE, DELETE, TRUNCATE ON erased_ids FROM "{}"'
"""For the service's role."""

_AMONG = "SELECT erased_among(CAST(:digests AS bytea[]), CAST(:alone AS boolean)) AS digest"
_KNOWN = "SELECT digest, erasure_id FROM erased_ids WHERE digest = ANY(CAST(:digests AS bytea[]))"
_ADD = """
INSERT INTO erased_ids (digest, erasure_id, erased_at)
SELECT digest, :erasure, :now FROM unnest(CAST(:digests AS bytea[])) AS new (digest) ORDER BY digest
ON CONFLICT DO NOTHING
"""


class _Data(msgspec.Struct):
    customer_id: object = None
    from_id: object = None
    into_id: object = None


class _Envelope(msgspec.Struct):
    data: _Data | None = None
    customer_id: object = None


_lenient = msgspec.json.Decoder(_Envelope)


class CustomerIsErased(Exception):
    """This id was erased: nothing is made of it, or joined to it, ever again."""


@dataclass(slots=True)
class Erased:
    """The look-ups of a process. ``key``: secret, and the same in all services of a deployment and for ever."""

    key: bytes
    _anybody: bool = False

    def digest(self, customer: str) -> bytes:
        """HMAC-SHA-256 of an id, 32 bytes."""
        return hmac.digest(self.key, customer.encode(), "sha256")

    async def find(self, tx: Tx, customers: Iterable[str]) -> dict[str, str]:
        """Those of these customers who were erased, and by which erasure.

        Sure until the transaction ends if it holds a lock of ``merges``, hidden or shared, as every erasure does.
        """
        names = {self.digest(customer): customer for customer in customers}
        rows = await fetch(tx, _KNOWN, digests=sorted(names))
        return {names[bytes(row["digest"])]: row["erasure_id"] for row in rows}

    async def refuse(self, tx: Tx, customers: Iterable[str]) -> None:
        """Raises CustomerIsErased if one of them was, or wears the name that orders of the erased are kept under."""
        wanted = list(customers)
        if any(customer.startswith(PSEUDONYM) for customer in wanted) or await self.find(tx, wanted):
            raise CustomerIsErased

    async def add(self, tx: Tx, customers: Iterable[str], erasure_id: str, now: datetime) -> None:
        """From now on, and for ever."""
        digests = sorted(self.digest(customer) for customer in customers)
        await execute(tx, _ADD, digests=digests, erasure=erasure_id, now=now)

    async def alone(self, tx: Tx) -> None:
        """No batch is applied until the transaction ends, whose first statement this is: for who takes customers away,
        and must know that nothing of them is on its way."""
        await fetch(tx, _AMONG, digests=[], alone=True)

    async def sift(
        self, tx: Tx, readable: Sequence[tuple[Record, Event]], letters: Sequence[DeadLetter]
    ) -> tuple[list[tuple[Record, Event]], list[DeadLetter]]:
        """The records that name nobody who was erased, and all letters, without a word of those that do.

        First in its transaction, which no erasure overlaps. One statement; where nobody was erased nothing more.
        """
        erasures = [event.data for _, event in readable if isinstance(event.data, CustomerErased)]
        going = {customer for data in erasures for customer in data.customer_ids}
        if not self._anybody:
            self._anybody = bool(await fetch(tx, _AMONG, digests=[], alone=bool(erasures)))
            if not self._anybody and not going:
                return list(readable), list(letters)
        named = {id(event): _named(event) for _, event in readable}
        of_letters = [_named_in(letter.record) for letter in letters]
        names = {name for found in (*named.values(), *of_letters) for name in found}
        digests = {self.digest(name): name for name in names}
        rows = await fetch(tx, _AMONG, digests=sorted(digests) or [b""], alone=bool(erasures))
        gone = going | {digests[bytes(row["digest"])] for row in rows}
        gone |= {name for name in names if name.startswith(PSEUDONYM)}
        kept = [(record, event) for record, event in readable if gone.isdisjoint(named[id(event)])]
        refused = [
            _without_a_word(record, event.source, event.id, gone)
            for record, event in readable
            if not gone.isdisjoint(named[id(event)])
        ]
        silenced = [
            letter if gone.isdisjoint(found) else _without_a_word(letter.record, letter.source, None, gone)
            for letter, found in zip(letters, of_letters, strict=True)
        ]
        return kept, [*silenced, *refused]


def _named(event: Event) -> tuple[str, ...]:
    data = event.data
    if isinstance(data, Merge):
        return (data.from_id, data.into_id)
    if event.topic.key != "customer_id" or isinstance(data, CustomerErased | ErasureCompleted):
        return ()
    return (event.key,)


def _named_in(record: Record) -> tuple[str, ...]:
    """Whom a record names that is no valid event: by its key, and by what can be read of it."""
    names: list[object] = [record.key.decode("utf-8", "replace")] if record.key else []
    try:
        said = _lenient.decode(record.value or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return tuple(str(name) for name in names)
    names.append(said.customer_id)
    if said.data is not None:
        names += [said.data.customer_id, said.data.from_id, said.data.into_id]
    return tuple(name for name in names if isinstance(name, str))


def _without_a_word(record: Record, source: str, event_id: str | None, gone: set[str]) -> DeadLetter:
    """A letter that tells the place of the record, and which event it was unless that names the customer."""
    says_who = event_id is None or any(name in event_id for name in gone)
    place = {"id": None if says_who else event_id, "partition": record.partition, "offset": record.offset}
    stub = Record(record.topic, None, msgspec.json.encode(place), (), record.partition, record.offset)
    return DeadLetter(stub, "dead", CODE, DETAIL, "/data/customer_id", source)
