"""The orders of a segment's members in two periods, counted where they stand."""

import sys
from array import array
from collections.abc import Sequence

import msgspec

from services.profile.demand.domain import Counted, Demand, Part
from services.profile.periods import Period
from shared.db import Tx, fetch

# Members by the index of their class and numbered, their orders by (customer_id, day). One statement: the orders are
# read once, and all of it is of one moment. What a member has several rows of goes as four bytes each, the highest
# first: a million rows would be a million records, and hold up the event loop. Equal means are equal only when rounded:
# a quotient has as many places as its operands ask for.
_COUNTED = r"""
WITH members AS (
    SELECT customer_id, row_number() OVER (ORDER BY customer_id) - 1 AS member FROM placements
    WHERE segment = :segment AND class = :class
      AND customer_id NOT IN (SELECT r.customer_id FROM restricted_persons AS r)
),
ids AS (
    SELECT member, customer_id FROM members
    UNION ALL
    SELECT m.member, v.customer_id FROM survivors AS v JOIN members AS m ON m.customer_id = v.survivor_id
),
ours AS MATERIALIZED (
    SELECT i.member, o.day >= CAST(:middle AS date) AS later, o.channel, o.house_net,
           o.line_categories, o.line_sold, o.line_returned
    FROM ids AS i JOIN standing_orders AS o USING (customer_id)
    WHERE o.counts AND o.day >= CAST(:since AS date) AND o.day < CAST(:until AS date)
),
orders AS (
    SELECT member, later, channel, count(*) AS orders, count(house_net) AS converted, sum(house_net) AS spend
    FROM ours GROUP BY member, later, channel
),
kept AS (
    SELECT member, name, count(*) FILTER (WHERE NOT later) AS before, count(*) FILTER (WHERE later) AS now
    FROM ours CROSS JOIN LATERAL (
        SELECT DISTINCT l.category AS name FROM unnest(line_categories, line_sold, line_returned)
            AS l (category, sold, returned)
        WHERE l.returned < l.sold) AS names
    GROUP BY member, name
),
periods AS (
    SELECT later, sum(orders) AS orders, count(DISTINCT member) AS buyers, sum(converted) AS converted,
           coalesce(sum(spend), 0) AS spend
    FROM orders GROUP BY later
),
channels AS (
    SELECT channel AS name, coalesce(sum(orders) FILTER (WHERE NOT later), 0) AS before,
           coalesce(sum(orders) FILTER (WHERE later), 0) AS now
    FROM orders GROUP BY channel
),
categories AS (
    SELECT name, sum(before) AS before, sum(now) AS now, row_number() OVER (ORDER BY name) - 1 AS place
    FROM kept GROUP BY name
),
means AS (
    SELECT member, later, sum(orders) AS orders, round(sum(spend) / nullif(sum(converted), 0), 6) AS basket
    FROM orders GROUP BY member, later
),
differences AS (
    SELECT sum(CASE WHEN later THEN orders ELSE -orders END) AS orders,
           max(basket) FILTER (WHERE later) - max(basket) FILTER (WHERE NOT later) AS basket
    FROM means GROUP BY member
)
SELECT (SELECT count(*) FROM members) AS members,
       (SELECT coalesce(json_agg(p), '[]') FROM periods AS p) AS periods,
       (SELECT coalesce(json_agg(c ORDER BY c.name), '[]') FROM channels AS c) AS channels,
       (SELECT coalesce(json_agg(c ORDER BY c.place), '[]') FROM categories AS c) AS categories,
       d.*, m.*
FROM (SELECT coalesce(array_agg(CAST(orders AS integer)) FILTER (WHERE orders <> 0), '{}') AS orders,
             coalesce(array_agg(CAST(basket AS double precision)) FILTER (WHERE basket <> 0), '{}') AS baskets
      FROM differences) AS d,
     (SELECT coalesce(string_agg(int4send(CAST(member AS integer)), '\x'), '\x') AS who,
             coalesce(string_agg(int4send(CAST(place AS integer)), '\x'), '\x') AS places,
             coalesce(string_agg(int4send(CAST(k.now - k.before AS integer)), '\x'), '\x') AS by
      FROM kept AS k JOIN categories USING (name) WHERE k.now <> k.before) AS m
"""


class _Period(Demand, frozen=True, kw_only=True):
    later: bool


async def counted(tx: Tx, segment: str, place: str, period: Period) -> Counted:
    """What the members of a class have bought, of whose files none is restricted: in the period and the one before."""
    days = {"since": period.before.since, "middle": period.since, "until": period.until}
    row = (await fetch(tx, _COUNTED, segment=segment, **{"class": place}, **days))[0]
    periods = msgspec.convert(row["periods"], list[_Period])
    return Counted(
        members=row["members"],
        periods={one.later: one for one in periods},
        categories=msgspec.convert(row["categories"], list[Part]),
        channels=msgspec.convert(row["channels"], list[Part]),
        orders=row["orders"],
        baskets=row["baskets"],
        mix=(_numbers(row["who"]), _numbers(row["places"]), _numbers(row["by"])),
    )


def _numbers(sent: bytes) -> Sequence[int]:
    found = array("i")
    found.frombytes(sent)
    if sys.byteorder == "little":
        found.byteswap()
    return found
