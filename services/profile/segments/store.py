"""Placements, their history, and what a rule may read, in sets."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.profile.purchases.domain import Foreign, House, Purchases
from services.profile.segments.domain import Move, Placement
from services.profile.segments.facts import FROM_CONTACTS, FROM_ORDERS, Bought, Known
from shared.contracts.types import Scalar
from shared.db import Row, Tx, columns, copy, execute, fetch

# One at a time: jobs place in batches, and two that place one customer would both see where he stood before.
_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('roost.placing', 0))"
_DUE = """
SELECT customer_id, segment, next_transition_at FROM placements
WHERE next_transition_at <= :now ORDER BY next_transition_at, customer_id LIMIT :limit
"""
_NEXT_DUE = """
SELECT EXISTS (SELECT 1 FROM placement_marks) OR EXISTS (SELECT 1 FROM placement_queue)
       OR EXISTS (SELECT 1 FROM replacements WHERE finished_at IS NULL) AS now,
       (SELECT min(next_transition_at) FROM placements) AS at
"""
# All ids of a person.
_IDS = """
(SELECT c.customer_id UNION ALL SELECT v.customer_id FROM survivors AS v WHERE v.survivor_id = c.customer_id) AS ids
"""
_KEPT = """
ARRAY(SELECT DISTINCT l.{0} FROM unnest(o.line_skus, o.line_categories, o.line_sold, o.line_returned)
          AS l (sku, category, sold, returned)
      WHERE l.{0} <> '' AND l.returned < l.sold)
"""
# A CASE runs what it yields only where it yields it: contacts and orders are looked at where a rule asks.
_KNOWN = f"""
SELECT c.customer_id, c.kind, c.tags, c.locale, c.owner, CAST(c.birthday ->> 'month' AS int), c.interests,
       c.price_sensitivity, c.time_zone, c.industry, c.occupation, c.company_size, c.business_model, c.special_needs,
       c.preferred_channel, CAST(nullif(c.attributes, '{{}}') AS text),
       coalesce(t.points, 0) + others.points, t.tier, t.risk_band, t.risk_probability,
       coalesce(t.complaints, 0) + others.complaints, greatest(t.feedback_at, others.feedback_at),
       CASE WHEN rules.contacts
            THEN ARRAY(SELECT k.sent_at FROM {_IDS} JOIN contacts AS k USING (customer_id)
                       WHERE k.sent_at IS NOT NULL) END,
       CASE WHEN rules.contacts
            THEN (SELECT k.purpose FROM {_IDS} JOIN contacts AS k USING (customer_id) WHERE k.status = 'planned'
                  ORDER BY k.due_at, k.contact_id LIMIT 1) END,
       CASE WHEN rules.orders
            THEN (SELECT CAST(jsonb_agg(jsonb_build_array(
                             o.day, o.channel, o.house_net, {_KEPT.format("sku")}, {_KEPT.format("category")}
                         )) AS text)
                  FROM {_IDS} JOIN standing_orders AS o USING (customer_id) WHERE o.counts) END,
       coalesce(s.orders, 0), coalesce(s.spend, 0), coalesce(s.days, 0), s.first_day, s.previous_day, s.last_day,
       s.first_at, s.last_at, s.last_source, s.last_event_id, s.elsewhere
FROM customers AS c
LEFT JOIN purchase_states AS s USING (customer_id)
LEFT JOIN standings AS t USING (customer_id)
CROSS JOIN LATERAL (
    SELECT CAST(coalesce(sum(o.points), 0) AS bigint) AS points,
           CAST(coalesce(sum(o.complaints), 0) AS int) AS complaints, max(o.feedback_at) AS feedback_at
    FROM survivors AS v JOIN standings AS o USING (customer_id) WHERE v.survivor_id = c.customer_id
) AS others
CROSS JOIN (
    SELECT CAST(:contacts AS boolean) OR EXISTS (SELECT 1 FROM segments WHERE reads_contacts) AS contacts,
           CAST(:orders AS boolean) OR EXISTS (SELECT 1 FROM segments WHERE reads_orders) AS orders
) AS rules
WHERE c.customer_id = ANY(:customers)
"""
_OF_FILE, _TAGS, _INTERESTS, _NEEDS, _ATTRIBUTES, _FEEDBACK = 22, 2, 6, 13, 15, 21
_PLACEMENTS = """
SELECT customer_id, segment, class, since, rule_version, next_transition_at,
       CASE WHEN class IN ('dormant', 'lost') THEN CAST(inputs AS text) END AS inputs, next_class
FROM placements WHERE customer_id = ANY(:customers)
"""
_SAVE = """
INSERT INTO placements AS p (customer_id, segment, class, since, rule_version, next_transition_at, next_class, inputs)
SELECT customer_id, segment, class, since, version, next_at, next_class, coalesce(CAST(inputs AS jsonb), '{}')
FROM unnest(CAST(:customers AS text[]), CAST(:segments AS text[]), CAST(:classes AS text[]),
            CAST(:since AS timestamptz[]), CAST(:versions AS int[]), CAST(:next_at AS timestamptz[]),
            CAST(:next_classes AS text[]), CAST(:inputs AS text[]))
    AS new (customer_id, segment, class, since, version, next_at, next_class, inputs)
ORDER BY customer_id, segment
ON CONFLICT (customer_id, segment) DO UPDATE SET
    class = excluded.class, since = excluded.since, rule_version = excluded.rule_version,
    next_transition_at = excluded.next_transition_at, next_class = excluded.next_class,
    inputs = CASE WHEN p.since = excluded.since AND p.class = excluded.class THEN p.inputs ELSE excluded.inputs END
"""
_DROP = """
DELETE FROM placements AS p
USING unnest(CAST(:customers AS text[]), CAST(:segments AS text[])) AS gone (customer_id, segment)
WHERE p.customer_id = gone.customer_id AND p.segment = gone.segment
"""
_HISTORY = ("customer_id", "segment", "from_class", "to_class", "at", "rule_version", "cause", "inputs")
_PAGE_OF_ALL = """
SELECT customer_id FROM customers WHERE customer_id > :after ORDER BY customer_id LIMIT :limit
"""
_PAGE_OF_SHOWN = """
SELECT customer_id FROM customers
WHERE customer_id > :after AND customer_id NOT IN (SELECT r.customer_id FROM restricted_persons AS r)
ORDER BY customer_id LIMIT :limit
"""
_START = """
INSERT INTO replacements (segment, after, placed, moved, started_at) VALUES (:segment, '', 0, 0, :now)
ON CONFLICT (segment) DO UPDATE
SET after = '', placed = 0, moved = 0, started_at = excluded.started_at, finished_at = NULL
"""
_UNFINISHED = """
SELECT segment, after FROM replacements WHERE finished_at IS NULL ORDER BY started_at, segment LIMIT 1 FOR UPDATE
"""
_PROGRESS = """
UPDATE replacements
SET after = :after, placed = placed + :placed, moved = moved + :moved, finished_at = :finished
WHERE segment = :segment
"""
_REPLACEMENTS = "SELECT segment, placed, moved, started_at, finished_at FROM replacements"
_MEMBERS = """
SELECT customer_id, since, next_transition_at FROM placements
WHERE segment = :segment AND class = :class AND customer_id > :after
  AND customer_id NOT IN (SELECT r.customer_id FROM restricted_persons AS r)
ORDER BY customer_id LIMIT :limit
"""
_OF_CUSTOMER = """
SELECT segment, class, since, rule_version, next_transition_at FROM placements
WHERE customer_id = :customer AND class <> 'out' ORDER BY segment
"""
_AS_OF = """
SELECT segment, to_class AS class, at AS since, rule_version, CAST(NULL AS timestamptz) AS next_transition_at
FROM (SELECT DISTINCT ON (segment) segment, to_class, at, rule_version FROM placement_history
      WHERE customer_id = :customer AND at <= :at ORDER BY segment, at DESC, id DESC) AS newest
WHERE to_class <> 'out' ORDER BY segment
"""
_LAST_MOVE = """
SELECT from_class, to_class, at, rule_version, cause, CAST(inputs AS text) AS inputs FROM placement_history
WHERE customer_id = :customer AND segment = :segment ORDER BY at DESC, id DESC LIMIT 1
"""
_foreign = msgspec.json.Decoder(dict[str, Foreign])
_attributes = msgspec.json.Decoder(dict[str, Scalar])
_bought = msgspec.json.Decoder(tuple[Bought, ...])
_NO_INPUTS: Mapping[str, Scalar] = {}
_NOWHERE_ELSE: Mapping[str, Foreign] = {}


async def turn(tx: Tx) -> None:
    """Waits until nobody else places; until the transaction ends nobody else will."""
    await fetch(tx, _TURN)


async def due(tx: Tx, now: datetime, limit: int) -> list[tuple[str, str, datetime]]:
    """(customer, segment, instant) of what time alone changes, oldest first."""
    return [(*row,) for row in await fetch(tx, _DUE, now=now, limit=limit)]


async def next_due(tx: Tx) -> tuple[bool, datetime | None]:
    """Whether something waits now, and when time changes something next."""
    row = (await fetch(tx, _NEXT_DUE))[0]
    return row["now"], row["at"]


async def known(
    tx: Tx, customers: Sequence[str], house: House, reads: frozenset[str] = frozenset()
) -> dict[str, Known]:
    """What is known of those of these customers who have a file, but for their activity; of their contacts and orders
    only where a rule in force asks, or a fact of ``reads`` is of them."""
    contacts, orders = not reads.isdisjoint(FROM_CONTACTS), not reads.isdisjoint(FROM_ORDERS)
    rows = await fetch(tx, _KNOWN, customers=customers, contacts=contacts, orders=orders)
    return dict(_known(house, *row) for row in rows)


async def placements(tx: Tx, customers: Sequence[str]) -> dict[tuple[str, str], Placement]:
    """Where these customers stand, by (customer, segment); inputs of the dormant and the lost alone."""
    return {
        (customer, segment): Placement(
            place, since, version, next_at, msgspec.json.decode(inputs) if inputs else _NO_INPUTS, then
        )
        for customer, segment, place, since, version, next_at, inputs, then in await fetch(
            tx, _PLACEMENTS, customers=customers
        )
    }


async def save(tx: Tx, standing: Mapping[tuple[str, str], Placement], gone: Sequence[tuple[str, str]]) -> None:
    """Writes placements, and takes away those of who stands nowhere any more."""
    if standing:
        rows = [
            (
                *key, p.place, p.since, p.version, p.next_at, p.next_place,
                msgspec.json.encode(p.inputs).decode() if p.inputs else None,
            )
            for key, p in sorted(standing.items())
        ]  # fmt: skip
        customers, segments, classes, since, versions, next_at, next_classes, inputs = columns(rows, 8)
        await execute(
            tx, _SAVE, customers=customers, segments=segments, classes=classes, since=since, versions=versions,
            next_at=next_at, next_classes=next_classes, inputs=inputs,
        )  # fmt: skip
    if gone:
        customers, segments = columns(sorted(gone), 2)
        await execute(tx, _DROP, customers=customers, segments=segments)


async def note(tx: Tx, moves: Sequence[Move]) -> None:
    """Adds moves to the history."""
    if moves:
        await copy(
            tx,
            "placement_history",
            _HISTORY,
            [
                (
                    m.customer_id, m.segment.name, m.before, m.after, m.at, m.segment.version, m.cause,
                    msgspec.json.encode(m.inputs).decode(),
                )
                for m in moves
            ],
        )  # fmt: skip


async def everybody(tx: Tx, after: str, limit: int) -> list[str]:
    """A page of all customers, by id."""
    return [row["customer_id"] for row in await fetch(tx, _PAGE_OF_ALL, after=after, limit=limit)]


async def shown(tx: Tx, after: str, limit: int) -> list[str]:
    """A page of those whose files aren't restricted, by id."""
    return [row["customer_id"] for row in await fetch(tx, _PAGE_OF_SHOWN, after=after, limit=limit)]


async def start(tx: Tx, segment: str, now: datetime) -> None:
    """Asks for everybody to be placed again in a segment, from the first customer on."""
    await execute(tx, _START, segment=segment, now=now)


async def unfinished(tx: Tx) -> tuple[str, str] | None:
    """The oldest segment in which not everybody was placed again, and the last customer who was."""
    rows = await fetch(tx, _UNFINISHED)
    return (rows[0]["segment"], rows[0]["after"]) if rows else None


async def progress(tx: Tx, segment: str, after: str, placed: int, moved: int, finished: datetime | None) -> None:
    """Keeps how far the placing of everybody has come."""
    await execute(tx, _PROGRESS, segment=segment, after=after, placed=placed, moved=moved, finished=finished)


async def replacements(tx: Tx) -> dict[str, dict[str, Any]]:
    """How far everybody has been placed by each rule that changed."""
    rows = [dict(row) for row in await fetch(tx, _REPLACEMENTS)]
    return {row.pop("segment"): row for row in rows}


async def members(tx: Tx, segment: str, place: str, after: str, limit: int) -> Sequence[Row]:
    """Who stands in a class, by id."""
    return await fetch(tx, _MEMBERS, segment=segment, **{"class": place}, after=after, limit=limit)


async def of_customer(tx: Tx, customer: str, as_of: datetime | None = None) -> Sequence[Row]:
    """Where a customer stands, or stood at an instant; by segment."""
    if as_of is not None:
        return await fetch(tx, _AS_OF, customer=customer, at=as_of)
    return await fetch(tx, _OF_CUSTOMER, customer=customer)


async def last_move(tx: Tx, customer: str, segment: str) -> Row | None:
    """The last change of a customer's class in a segment; ``inputs`` in JSON."""
    rows = await fetch(tx, _LAST_MOVE, customer=customer, segment=segment)
    return rows[0] if rows else None


def _known(house: House, *row: Any) -> tuple[str, Known]:
    file: list[Any] = list(row[:_OF_FILE])
    sent, planned, orders, *state = row[_OF_FILE:]
    contacted = tuple(sorted(map(house.day, sent))) if sent else ()
    bought = _bought.decode(orders) if orders else ()
    state[-1] = _foreign.decode(state[-1]) if state[-1] else _NOWHERE_ELSE
    for place in (_TAGS, _INTERESTS, _NEEDS):
        file[place] = tuple(file[place])
    file[_FEEDBACK] = house.day(file[_FEEDBACK]) if file[_FEEDBACK] else None
    file[_ATTRIBUTES] = _attributes.decode(file[_ATTRIBUTES]) if file[_ATTRIBUTES] else _NO_INPUTS
    fields: Any = (*file, contacted, planned, bought, Purchases(*state))
    return row[0], Known(*fields)
