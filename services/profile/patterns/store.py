"""Rhythms and demands over the orders as they stand, and which of their changes were noted."""

from collections.abc import Mapping, Sequence
from datetime import date

import msgspec

from services.profile.patterns.changes import NEWEST_GAPS, Demand, Rhythm, RhythmPolicy
from shared.db import Tx, columns, execute, fetch
from shared.messaging.facts import ORDER_KINDS

_SILENT = """
SELECT s.customer_id FROM purchase_states AS s LEFT JOIN rhythm_drops AS d USING (customer_id)
WHERE s.customer_id > :after AND s.days > :gaps AND s.last_day BETWEEN :oldest AND :newest
  AND d.last_day IS DISTINCT FROM s.last_day
ORDER BY s.customer_id LIMIT :limit
"""
# An index scan on (customer_id, day) for each id of each person.
_RHYTHMS = """
WITH ids AS (
    SELECT person, person AS customer_id FROM unnest(CAST(:customers AS text[])) AS person
    UNION
    SELECT survivor_id, customer_id FROM survivors WHERE survivor_id = ANY(:customers)
),
days AS (SELECT DISTINCT i.person, o.day FROM ids AS i JOIN standing_orders AS o USING (customer_id) WHERE o.counts),
gaps AS (
    SELECT person, day, CAST(day - lag(day) OVER (PARTITION BY person ORDER BY day) AS double precision) AS gap,
           row_number() OVER (PARTITION BY person ORDER BY day DESC) AS back
    FROM days
),
rhythms AS (
    SELECT person, count(*) AS gaps, avg(ln(gap)) AS mean_log, stddev_samp(ln(gap)) AS sd_log, max(day) AS last_day
    FROM gaps WHERE gap IS NOT NULL AND back <= :newest GROUP BY person HAVING count(*) >= :least
)
SELECT r.person AS customer_id, r.last_day, s.last_at, r.gaps, r.mean_log, r.sd_log
FROM rhythms AS r JOIN purchase_states AS s ON (s.customer_id, s.last_day) = (r.person, r.last_day)
ORDER BY customer_id
"""
_LOADED = """
SELECT DISTINCT i.person FROM (
    SELECT person, person AS customer_id FROM unnest(CAST(:customers AS text[])) AS person
    UNION
    SELECT survivor_id, customer_id FROM survivors WHERE survivor_id = ANY(:customers)
) AS i JOIN facts AS f USING (customer_id)
WHERE f.backfill AND f.kind = ANY(:kinds) AND f.recorded_in >= (SELECT watched_to FROM counting)
"""
_COUNTED_TO = "SELECT counted_to FROM counting"
_WATCHED = "UPDATE counting SET watched_to = :counted_to"
_NOTE_DROPS = """
INSERT INTO rhythm_drops (customer_id, last_day)
SELECT * FROM unnest(CAST(:customers AS text[]), CAST(:days AS date[])) AS new (customer_id, last_day)
ORDER BY customer_id ON CONFLICT (customer_id) DO UPDATE SET last_day = excluded.last_day
"""
_DEMANDS = """
SELECT l.category, count(DISTINCT o.order_id) FILTER (WHERE o.day < :middle) AS before,
       count(DISTINCT o.order_id) FILTER (WHERE o.day >= :middle) AS now
FROM standing_orders AS o, unnest(o.line_categories, o.line_sold, o.line_returned) AS l (category, sold, returned)
WHERE o.counts AND o.day >= :since AND o.day < :until AND l.category <> '' AND l.returned < l.sold
GROUP BY l.category ORDER BY l.category
"""
_SHOP = """
SELECT count(*) FILTER (WHERE day < :middle) AS before, count(*) FILTER (WHERE day >= :middle) AS now,
       coalesce(bool_or(backfill) FILTER (WHERE day >= :middle), false) AS loading,
       EXISTS (SELECT FROM standing_orders WHERE counts AND day < :since) AS reaches_back
FROM standing_orders WHERE counts AND day >= :since AND day < :until
"""
_NOTED = "SELECT category, direction FROM category_demand"
_NOTE_DEMAND = """
WITH gone AS (DELETE FROM category_demand WHERE NOT category = ANY(:categories))
INSERT INTO category_demand (category, direction)
SELECT * FROM unnest(CAST(:categories AS text[]), CAST(:directions AS text[])) AS new (category, direction)
ORDER BY category ON CONFLICT (category) DO UPDATE SET direction = excluded.direction
"""


class Shop(msgspec.Struct, frozen=True):
    """All orders of both periods; whether loaded history lies in this one, and whether there are older orders."""

    before: int
    now: int
    loading: bool
    reaches_back: bool


async def silent(tx: Tx, after: str, policy: RhythmPolicy, oldest: date, newest: date, limit: int) -> list[str]:
    """Who has a rhythm and bought last between two days, by id, unless his silence was noted."""
    rows = await fetch(tx, _SILENT, after=after, gaps=policy.gaps_at_least, oldest=oldest, newest=newest, limit=limit)
    return [row["customer_id"] for row in rows]


async def rhythms(tx: Tx, customers: Sequence[str], least: int) -> list[Rhythm]:
    """The rhythms of these persons over all their ids, by id; of who has fewer gaps none."""
    rows = await fetch(tx, _RHYTHMS, customers=customers, newest=NEWEST_GAPS, least=least)
    return [Rhythm(**row) for row in rows]


async def loaded(tx: Tx, customers: Sequence[str]) -> set[str]:
    """Of whom of these persons history was loaded, under any id, since the last watch that came to its end."""
    rows = await fetch(tx, _LOADED, customers=customers, kinds=list(ORDER_KINDS)) if customers else []
    return {row["person"] for row in rows}


async def counted_to(tx: Tx) -> int:
    """The first transaction whose facts may not be counted yet."""
    to: int = (await fetch(tx, _COUNTED_TO))[0]["counted_to"]
    return to


async def watched(tx: Tx, counted_to: int) -> None:
    """Notes that a watch over everything counted has come to its end."""
    await execute(tx, _WATCHED, counted_to=counted_to)


async def note_drops(tx: Tx, dropped: Sequence[Rhythm]) -> None:
    """Writes down whose rhythm is broken, until he buys again."""
    if dropped:
        customers, days = columns([(one.customer_id, one.last_day) for one in dropped], 2)
        await execute(tx, _NOTE_DROPS, customers=customers, days=days)


async def demands(tx: Tx, since: date, middle: date, until: date) -> tuple[list[Demand], Shop]:
    """The orders by category, and all, before and from ``middle`` on."""
    span = {"since": since, "middle": middle, "until": until}
    found = [Demand(**row) for row in await fetch(tx, _DEMANDS, **span)]
    return found, Shop(**(await fetch(tx, _SHOP, **span))[0])


async def noted(tx: Tx) -> dict[str, str]:
    """category -> direction of the changes that stand."""
    return {row["category"]: row["direction"] for row in await fetch(tx, _NOTED)}


async def note_demand(tx: Tx, standing: Mapping[str, str]) -> None:
    """Has these changes stand, and no others."""
    categories, directions = columns(sorted(standing.items()), 2)
    await execute(tx, _NOTE_DEMAND, categories=categories, directions=directions)
