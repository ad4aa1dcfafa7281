"""The orders of a segment's members in two periods, counted where they stand."""

from collections.abc import Mapping
from datetime import date

from services.profile.demand.domain import Demand, Part, Ranks
from services.profile.periods import Period
from shared.db import Tx, fetch

# Members by the index of their class, their orders by (customer_id, day).
_OURS = """
WITH members AS (
    SELECT customer_id AS person FROM placements
    WHERE segment = :segment AND class = :class
      AND customer_id NOT IN (SELECT r.customer_id FROM restricted_persons AS r)
),
ids AS (
    SELECT person, person AS customer_id FROM members
    UNION ALL
    SELECT survivor_id, v.customer_id FROM survivors AS v WHERE v.survivor_id IN (SELECT person FROM members)
),
ours AS (
    SELECT i.person, o.day >= CAST(:middle AS date) AS later, o.channel, o.house_net,
           o.line_categories, o.line_sold, o.line_returned
    FROM ids AS i JOIN standing_orders AS o USING (customer_id)
    WHERE o.counts AND o.day >= CAST(:since AS date) AND o.day < CAST(:until AS date)
)
"""
_MEMBERS = "SELECT count(*) AS members FROM members"
_PERIODS = """
SELECT later, count(*) AS orders, count(DISTINCT person) AS buyers, count(house_net) AS converted,
       CAST(coalesce(sum(house_net), 0) AS bigint) AS spend
FROM ours GROUP BY later
"""
_CATEGORIES = """
SELECT name, count(*) FILTER (WHERE NOT later) AS before, count(*) FILTER (WHERE later) AS now
FROM ours CROSS JOIN LATERAL (
    SELECT DISTINCT l.category AS name FROM unnest(line_categories, line_sold, line_returned)
        AS l (category, sold, returned)
    WHERE l.returned < l.sold) AS kept
GROUP BY name ORDER BY name
"""
_CHANNELS = """
SELECT channel AS name, count(*) FILTER (WHERE NOT later) AS before, count(*) FILTER (WHERE later) AS now
FROM ours GROUP BY channel ORDER BY channel
"""
# The rank of equal ones is the mean of their places; n members of a group of n add n * (n² - 1) = n³ - n.
_RANKS = """
SELECT count(*) FILTER (WHERE NOT later) AS before, count(*) FILTER (WHERE later) AS now,
       CAST(coalesce(sum(place + (alike - 1) / 2.0) FILTER (WHERE NOT later), 0) AS double precision) AS rank_sum,
       CAST(coalesce(sum(alike * alike - 1), 0) AS bigint) AS ties
FROM (SELECT later, rank() OVER (ORDER BY house_net) AS place, count(*) OVER (PARTITION BY house_net) AS alike
      FROM ours WHERE house_net IS NOT NULL) AS baskets
"""


Asked = Mapping[str, str | date]
"""A class of a segment, a period and the one before, as the statements take them."""


def asked(segment: str, place: str, period: Period) -> Asked:
    """What is asked of each of them."""
    days = {"since": period.before.since, "middle": period.since, "until": period.until}
    return {"segment": segment, "class": place, **days}


async def members(tx: Tx, said: Asked) -> int:
    """How many there are now whose files aren't restricted."""
    count: int = (await fetch(tx, _OURS + _MEMBERS, **said))[0]["members"]
    return count


async def periods(tx: Tx, said: Asked) -> dict[bool, Demand]:
    """Their orders, by whether they are of the later period; without orders a period isn't there."""
    found = [dict(row) for row in await fetch(tx, _OURS + _PERIODS, **said)]
    return {row.pop("later"): Demand(**row) for row in found}


async def categories(tx: Tx, said: Asked) -> list[Part]:
    """Orders by category, of what was kept: an order counts in each of its categories."""
    return [Part(**row) for row in await fetch(tx, _OURS + _CATEGORIES, **said)]


async def channels(tx: Tx, said: Asked) -> list[Part]:
    """Orders by channel."""
    return [Part(**row) for row in await fetch(tx, _OURS + _CHANNELS, **said)]


async def ranks(tx: Tx, said: Asked) -> Ranks:
    """The sizes of their baskets, as the rank-sum test needs them."""
    return Ranks(**(await fetch(tx, _OURS + _RANKS, **said))[0])
