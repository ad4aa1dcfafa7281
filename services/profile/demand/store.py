"""The orders of a segment's members in two periods, counted where they stand."""

from collections.abc import Mapping, Sequence
from datetime import date

from services.profile.demand.domain import Demand, Part
from services.profile.demand.flips import Mix
from services.profile.periods import Period
from shared.db import Tx, execute, fetch

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
_ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_MEMBERS = "SELECT count(*) AS members FROM members"
_PERIODS = """
SELECT later, count(*) AS orders, count(DISTINCT person) AS buyers, count(house_net) AS converted,
       CAST(coalesce(sum(house_net), 0) AS bigint) AS spend
FROM ours GROUP BY later
"""
_KEPT = """
SELECT DISTINCT l.category AS name
FROM unnest(line_categories, line_sold, line_returned) AS l (category, sold, returned)
WHERE l.returned < l.sold
"""
_CATEGORIES = f"""
SELECT name, count(*) FILTER (WHERE NOT later) AS before, count(*) FILTER (WHERE later) AS now
FROM ours CROSS JOIN LATERAL ({_KEPT}) AS kept
GROUP BY name ORDER BY name
"""
_CHANNELS = """
SELECT channel AS name, count(*) FILTER (WHERE NOT later) AS before, count(*) FILTER (WHERE later) AS now
FROM ours GROUP BY channel ORDER BY channel
"""
# The means of equal amounts are equal only when rounded: a quotient is told to as many places as its operands ask for.
_DIFFERENCES = """
SELECT coalesce(array_agg(CAST(orders AS integer)) FILTER (WHERE orders <> 0), '{}') AS orders,
       coalesce(array_agg(CAST(basket AS double precision)) FILTER (WHERE basket <> 0), '{}') AS baskets
FROM (SELECT count(*) FILTER (WHERE later) - count(*) FILTER (WHERE NOT later) AS orders,
             round(avg(house_net) FILTER (WHERE later), 6) - round(avg(house_net) FILTER (WHERE NOT later), 6) AS basket
      FROM ours GROUP BY person) AS each
"""
# One array a column of the answer: a million rows would be a million records.
_MIX = f"""
SELECT coalesce(array_agg(CAST(member AS integer)), '{{}}') AS members,
       coalesce(array_agg(CAST(place - 1 AS integer)), '{{}}') AS columns,
       coalesce(array_agg(CAST(more AS integer)), '{{}}') AS by
FROM (SELECT dense_rank() OVER (ORDER BY person) - 1 AS member, place, more
      FROM (SELECT person, coalesce(k.place, cardinality(CAST(:names AS text[])) + 1) AS place,
                   sum(CASE WHEN later THEN 1 ELSE -1 END) AS more
            FROM ours CROSS JOIN LATERAL ({_KEPT}) AS kept
            LEFT JOIN unnest(CAST(:names AS text[])) WITH ORDINALITY AS k (name, place) USING (name)
            GROUP BY 1, 2) AS each
      WHERE more <> 0) AS numbered
"""


Asked = Mapping[str, str | date]
"""A class of a segment, a period and the one before, as the statements take them."""


def asked(segment: str, place: str, period: Period) -> Asked:
    """What is asked of each of them."""
    days = {"since": period.before.since, "middle": period.since, "until": period.until}
    return {"segment": segment, "class": place, **days}


async def hold(tx: Tx) -> None:
    """Has all statements of a transaction that has begun see one moment."""
    await execute(tx, _ONE_MOMENT)


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


async def differences(tx: Tx, said: Asked) -> tuple[list[int], list[float]]:
    """By how much each member's orders are more, and the mean of his baskets, where there are such in both periods;
    without zeros, in no order."""
    row = (await fetch(tx, _OURS + _DIFFERENCES, **said))[0]
    return row["orders"], row["baskets"]


async def mix(tx: Tx, said: Asked, names: Sequence[str], both: Sequence[int]) -> Mix:
    """By how much each member's orders with a category are more: a column a name, and one for all others."""
    row = (await fetch(tx, _OURS + _MIX, names=names, **said))[0]
    return Mix(both, row["members"], row["columns"], row["by"])
