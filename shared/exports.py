"""Everything that a service holds of one person, as one JSON document with a section a kind.

GDPR art. 15 and 20, PIPL art. 45. A service names its sections, and what it leaves out with the reason; what all
services have stands here.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi.responses import StreamingResponse

from shared.clock import Clock
from shared.db import Database, Tx, execute, fetch
from shared.http.auth import Principal, own_or_404
from shared.http.problems import not_found
from shared.messaging import merges
from shared.messaging.erasures import NAMES_HIM

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Section:
    """``sql`` selects with ``:ids``; a JSON object a row. ``for_staff``: paths in it that its customer isn't shown,
    ``data.staff_id``."""

    sql: str
    for_staff: Sequence[str] = ()

    @property
    def tables(self) -> set[str]:
        """What it reads."""
        return set(re.findall(r"\b(?:FROM|JOIN) (\w+)", self.sql))


Sections = Mapping[str, Section]
Computed = Callable[[Tx, str], Awaitable[Mapping[str, Sequence[Any]]]]
"""Sections that no table has, of the id that answers for the person."""

SHARED: Sections = {
    "events": Section(
        """
        SELECT customer_id, kind, key, version, order_id, occurred_at, source, event_id, backfill,
               CAST(convert_from(body, 'UTF8') AS jsonb) - 'coupon_codes' AS data
        FROM facts WHERE customer_id = ANY(:ids) ORDER BY occurred_at, source, event_id""",
        for_staff=("data.staff_id",),
    ),
    "merges": Section("""
        SELECT merge_id, version, from_id, into_id, active, occurred_at
        FROM merges WHERE from_id = ANY(:ids) OR into_id = ANY(:ids) ORDER BY occurred_at, merge_id"""),
    # What could not be applied may be of others, too: whether its words are his, staff see.
    "dead_letters": Section(
        f"""
        SELECT id, topic, outcome, source, code, pointer, detail, first_seen_at, last_seen_at, times, replayed_at,
               encode(key, 'base64') AS key, encode(value, 'base64') AS value
        FROM dead_letters
        WHERE key = ANY(ARRAY(SELECT convert_to(c.id, 'UTF8') FROM unnest(CAST(:ids AS text[])) AS c (id)))
           OR {NAMES_HIM}
        ORDER BY id""",
        for_staff=("detail", "key", "value"),
    ),
}
"""Those of every service."""
LEFT_OUT = {
    "facts.digest": "made of the event, to know it when it comes again",
    "facts.body": "told as data, but for the codes of coupons, which whoever has them may use",
    "dead_letters.headers": "the trace and the format of the record",
    "dead_letters.value_sha256": "made of the value, to know it when it comes again",
    "survivors": "made of merges; customer_ids has them",
    "sequences": "how many events were published",
    "inbox": "which events came in, by source and number, so that none counts twice; what they said is in events",
    "outbox": "a queue: what is being published of what is exported here",
    "flow": "how many events came in an hour, of everybody",
    "idempotency_keys": "that a request came before; of what was asked a keyed hash",
    "erased_ids": "keyed hashes of ids that are never taken in again",
    "erasures_applied": "how many rows went with an erasure, by table",
    "job_runs": "when a job ran last",
    "schema_version": "which migrations ran",
}
"""Tables of every service, and columns of exported ones, that are left out, and why nobody needs them who wants to know
what is known of him."""
_ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


async def export(
    db: Database,
    clock: Clock,
    sections: Sections,
    who: Principal,
    customer_id: str,
    computed: Computed | None = None,
) -> StreamingResponse:
    """The person's document as of one moment, under all his ids, whichever of them is asked for.

    Raises the 404 of what isn't there or isn't the caller's: also where nothing is held of him.
    """
    async with db.transaction() as tx:
        await execute(tx, _ONE_MOMENT)
        groups = await merges.groups_seen(tx, [customer_id])
        ids = groups.members(customer_id)
        own_or_404(who, *ids)
        held: dict[str, Sequence[Any]] = {}
        for name, section in {**sections, **SHARED}.items():
            held[name] = await rows(tx, section, ids, for_staff=who.customer_id is None)
        if not any(held.values()):
            raise not_found()
        if computed is not None:
            held |= await computed(tx, groups.survivor(customer_id))
    head = {
        "schema_version": SCHEMA_VERSION,
        "generated_at": clock.now(),
        "customer_id": groups.survivor(customer_id),
        "customer_ids": ids,
    }
    pieces = [msgspec.json.encode(head)[:-1]]
    pieces += [b"," + msgspec.json.encode(name) + b":" + msgspec.json.encode(section) for name, section in held.items()]

    # The document is whole before its first byte goes out: whoever reads slowly holds no transaction.
    async def sent() -> AsyncIterator[bytes]:
        for piece in (*pieces, b"}"):
            yield piece

    return StreamingResponse(sent(), media_type="application/json", headers={"Cache-Control": "no-store"})


async def rows(tx: Tx, section: Section, ids: Sequence[str], *, for_staff: bool) -> list[msgspec.Raw]:
    """The rows of a section, as JSON."""
    hidden = () if for_staff else section.for_staff
    shown = "to_jsonb(r)" + "".join(f" #- '{{{path.replace('.', ',')}}}'" for path in hidden)
    found = await fetch(tx, f"SELECT CAST({shown} AS text) AS row FROM ({section.sql}) AS r", ids=list(ids))
    return [msgspec.Raw(row["row"].encode()) for row in found]
