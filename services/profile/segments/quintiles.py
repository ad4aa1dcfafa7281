"""Where the cut-points of rfm would lie by today's customers, and who would move, in SQL."""

from collections.abc import Sequence
from datetime import date

from shared.db import Tx, fetch

_QUINTILES = """
SELECT count(*) AS customers,
       percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY :today - last_day) AS recency,
       percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY orders) AS orders,
       percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY spend) AS spend
FROM purchase_states WHERE orders > 0
"""
# purchases.rfm.score in SQL: a test holds it against the placements that follow.
_SCORES = """
(SELECT 5 - count(*) FROM unnest(CAST(:{0}_recency AS int[])) AS cut WHERE :today - s.last_day > cut) || '-' ||
(SELECT 1 + count(*) FROM unnest(CAST(:{0}_orders AS int[])) AS cut WHERE s.orders >= cut) || '-' ||
(SELECT 1 + count(*) FROM unnest(CAST(:{0}_spend AS bigint[])) AS cut WHERE s.spend >= cut)
"""
_RFM_MOVES = f"""
SELECT before, after, count(*) AS customers
FROM (SELECT {_SCORES.format("old")} AS before, {_SCORES.format("new")} AS after
      FROM purchase_states AS s WHERE s.orders > 0) AS scored
WHERE before <> after GROUP BY before, after ORDER BY count(*) DESC, before, after
"""


async def of_today(tx: Tx, today: date) -> tuple[int, list[int], list[int], list[int]]:
    """How many have bought, and the quintiles of days since the last purchase, orders, and spend in minor units."""
    row = (await fetch(tx, _QUINTILES, today=today))[0]
    return row["customers"], row["recency"], row["orders"], row["spend"]


async def moves(
    tx: Tx, today: date, unit: int, old: Sequence[Sequence[int]], new: Sequence[Sequence[int]]
) -> list[tuple[str, str, int]]:
    """(from, to, customers) between two sets of cut-points for recency, orders, spend in major units of ``unit``."""
    points = {
        f"{name}_{part}": [cut * unit for cut in cuts] if part == "spend" else list(cuts)
        for name, three in (("old", old), ("new", new))
        for part, cuts in zip(("recency", "orders", "spend"), three, strict=True)
    }
    rows = await fetch(tx, _RFM_MOVES, today=today, **points)
    return [(row["before"], row["after"], row["customers"]) for row in rows]
