"""The questions behind the figures: sets over the orders as they stand."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.profile.metrics.domain import Cell, Churn, Products, Ratio, Sales, Satisfaction, Sold, Voice, Week
from services.profile.periods import Period
from services.profile.policies.domain import LifecyclePolicy
from shared.db import Row, Tx, fetch

_PERSON = "coalesce(v.survivor_id, o.customer_id)"
_FILTERS = {
    "owner": f"EXISTS (SELECT FROM customers AS c WHERE c.customer_id = {_PERSON} AND c.owner = :owner)",
    # A built-in segment's members are those of one of its classes, named with it.
    "segment": f"""EXISTS (SELECT FROM placements AS p WHERE p.customer_id = {_PERSON} AND (
        (p.segment = :segment AND p.class = 'in') OR p.segment || ':' || p.class = :segment))""",
}
# Facts of a kind are found by the head of their primary key: of feedback there are few.
_FEEDBACK = """
feedback AS (
    SELECT o.data ->> 'kind' AS kind, o.data ->> 'sku' AS sku, CAST(o.data ->> 'rating' AS numeric) AS rating
    FROM (SELECT customer_id, CAST(convert_from(body, 'UTF8') AS jsonb) AS data FROM facts
          WHERE kind = 'feedback-received' AND occurred_at >= :begins AND occurred_at < :ends) AS o
    LEFT JOIN survivors AS v USING (customer_id)
    WHERE {}
)"""
_ORDERS = f"""
orders AS (
    SELECT {_PERSON} AS person, o.order_id, o.occurred_at, o.day, o.currency, o.net, o.house_total, o.house_net,
           o.counts, o.cancelled, o.line_skus, o.line_sold, o.line_returned
    FROM standing_orders AS o LEFT JOIN survivors AS v USING (customer_id)
    WHERE o.day < CAST(:until AS date) AND {{}}
)"""
_RETENTION = """
SELECT count(*) FILTER (WHERE earlier > 0) AS denominator,
       count(*) FILTER (WHERE earlier > 0 AND now > 0) AS numerator,
       coalesce(sum(earlier + now), 0) AS count
FROM (SELECT count(*) FILTER (WHERE day < CAST(:since AS date)) AS earlier,
             count(*) FILTER (WHERE day >= CAST(:since AS date)) AS now
      FROM orders WHERE counts AND day >= CAST(:before AS date) GROUP BY person) AS persons
"""
_REPURCHASE = """
SELECT count(*) AS denominator, count(*) FILTER (WHERE days > 1) AS numerator, coalesce(sum(bought), 0) AS count
FROM (SELECT count(DISTINCT day) AS days, count(*) AS bought
      FROM orders WHERE counts AND day >= CAST(:since AS date) GROUP BY person) AS persons
"""
# Every purchase day of everybody opens a spell, which ends at the next one. In it he is lost from lost_on on, if it
# lasts so long: purchases.lifecycle.stage in SQL, held against it by a test.
_SPELLS = """
, days AS (SELECT DISTINCT person, day FROM orders WHERE counts),
gaps AS (
    SELECT person, day, lead(day) OVER spells AS next_day, row_number() OVER spells AS nth,
           day - first_value(day) OVER spells AS span
    FROM days WINDOW spells AS (PARTITION BY person ORDER BY day)
),
limits AS (
    SELECT person, day, next_day, nth,
           day + CAST(CASE WHEN nth < :rhythm_purchase_days THEN :lost_days ELSE greatest(
               :shortest_lost_days, (:lost_gaps * span + nth - 2) / (nth - 1)) END AS integer) AS lost_on
    FROM gaps
),
spells AS (
    SELECT person, day, next_day, nth, CASE WHEN next_day IS NULL OR lost_on < next_day THEN lost_on END AS lost_on
    FROM limits
)"""
_CHURN = """
SELECT count(*) FILTER (WHERE opening) AS opening, count(*) FILTER (WHERE closing) AS closing,
       count(*) FILTER (WHERE opening AND NOT closing) AS churned,
       (SELECT count(*) FROM orders WHERE counts) AS count
FROM (
    SELECT bool_or(day < CAST(:since AS date) AND (next_day IS NULL OR next_day >= CAST(:since AS date))
                   AND (lost_on IS NULL OR lost_on >= CAST(:since AS date))) AS opening,
           bool_or(next_day IS NULL AND lost_on >= CAST(:until AS date)) AS closing
    FROM spells GROUP BY person
) AS persons
"""
_WEEKS = """
SELECT CAST(date_trunc('week', CAST(day AS timestamp)) AS date) AS week, count(*) FILTER (WHERE what = 'won') AS won,
       count(*) FILTER (WHERE what = 'back') AS won_back, count(*) FILTER (WHERE what = 'lost') AS lost
FROM (
    SELECT day, 'won' AS what FROM spells WHERE nth = 1
    UNION ALL SELECT next_day, 'back' FROM spells WHERE lost_on IS NOT NULL AND next_day IS NOT NULL
    UNION ALL SELECT lost_on, 'lost' FROM spells WHERE lost_on IS NOT NULL
) AS moves
WHERE day >= CAST(:since AS date) AND day < CAST(:until AS date)
GROUP BY 1 ORDER BY 1
"""
_SALES = """
, ours AS (
    SELECT * FROM orders WHERE NOT cancelled AND day >= CAST(:since AS date) AND house_net IS NOT NULL
),
buyers AS (
    SELECT sum(house_net) AS net, row_number() OVER (ORDER BY sum(house_net) DESC, person) AS place,
           count(*) OVER () AS buyers
    FROM ours WHERE counts GROUP BY person
)
SELECT count(*) FILTER (WHERE counts) AS orders, count(*) AS count, coalesce(sum(house_total), 0) AS gross,
       coalesce(sum(house_net), 0) AS net, (SELECT count(*) FROM buyers) AS buyers,
       (SELECT count(*) FROM buyers WHERE place <= (buyers + 4) / 5) AS best,
       (SELECT coalesce(sum(net), 0) FROM buyers WHERE place <= (buyers + 4) / 5) AS best_net
FROM ours
"""
_UNCONVERTED = """
SELECT currency, count(*) AS orders, sum(net) AS net FROM orders
WHERE counts AND day >= CAST(:since AS date) AND house_net IS NULL GROUP BY currency ORDER BY currency
"""
_COHORTS = """
, months AS (
    SELECT person, date_trunc('month', CAST(day AS timestamp)) AS month, count(*) AS bought,
           coalesce(sum(house_net), 0) AS net, min(day) AS first_day
    FROM orders WHERE counts GROUP BY 1, 2
),
cohorts AS (
    SELECT person, month, bought, net, min(month) OVER persons AS cohort, min(first_day) OVER persons AS first_day
    FROM months WINDOW persons AS (PARTITION BY person)
)
SELECT CAST(cohort AS date) AS month,
       CAST(12 * (extract(year FROM month) - extract(year FROM cohort))
            + extract(month FROM month) - extract(month FROM cohort) AS integer) AS later,
       count(*) AS buyers, CAST(sum(bought) AS bigint) AS orders, CAST(sum(net) AS bigint) AS net
FROM cohorts WHERE first_day >= CAST(:since AS date)
GROUP BY 1, 2 ORDER BY 1, 2
"""
_CAME_AGAIN = """
, months AS (SELECT person, date_trunc('month', CAST(day AS timestamp)) AS month, day FROM orders WHERE counts)
SELECT count(*) AS denominator, count(*) FILTER (WHERE last > first) AS numerator, coalesce(sum(bought), 0) AS count
FROM (SELECT min(month) AS first, max(month) AS last, count(*) AS bought
      FROM months GROUP BY person HAVING min(day) >= CAST(:since AS date)) AS persons
"""
# What an order says of a referral stands in its newest version alone.
_REFERRAL = """
, firsts AS (SELECT DISTINCT ON (person) * FROM orders WHERE counts ORDER BY person, occurred_at, order_id),
won AS (
    SELECT f.person, purchase.data ->> 'referral_code' IS NOT NULL AS referred
    FROM firsts AS f CROSS JOIN LATERAL (
        SELECT CAST(convert_from(body, 'UTF8') AS jsonb) AS data FROM facts
        WHERE kind = 'purchase-recorded' AND key = f.order_id ORDER BY version DESC LIMIT 1) AS purchase
    WHERE f.day >= CAST(:since AS date)
)
SELECT count(*) AS denominator, count(*) FILTER (WHERE referred) AS numerator,
       (SELECT count(*) FROM orders WHERE counts AND person IN (SELECT person FROM won)) AS count
FROM won
"""
_SATISFACTION = """
SELECT kind, count(*) AS count, count(rating) AS rated, count(*) FILTER (WHERE rating >= 4) AS high,
       count(*) FILTER (WHERE rating <= 2) AS low, CAST(coalesce(sum(rating), 0) AS bigint) AS stars
FROM feedback GROUP BY kind ORDER BY kind
"""
_LINES = """
, lines AS (
    SELECT o.order_id, l.sku, l.sold, l.returned
    FROM orders AS o, unnest(o.line_skus, o.line_sold, o.line_returned) AS l (sku, sold, returned)
    WHERE NOT o.cancelled AND o.day >= CAST(:since AS date)
)"""
_ALL_LINES = """
SELECT count(DISTINCT order_id) AS orders, CAST(coalesce(sum(sold), 0) AS bigint) AS sold,
       CAST(coalesce(sum(returned), 0) AS bigint) AS returned FROM lines
"""
_PRODUCTS = """
, sold AS (
    SELECT sku, count(DISTINCT order_id) AS orders, CAST(sum(sold) AS bigint) AS sold,
           CAST(sum(returned) AS bigint) AS returned
    FROM lines GROUP BY sku
),
complaints AS (SELECT sku, count(*) AS complaints FROM feedback WHERE kind = 'complaint' AND sku IS NOT NULL GROUP BY 1)
SELECT sku, coalesce(orders, 0) AS orders, coalesce(sold, 0) AS sold, coalesce(returned, 0) AS returned,
       coalesce(complaints, 0) AS complaints
FROM sold FULL JOIN complaints USING (sku)
WHERE CAST(:sku AS text) IS NULL OR sku = :sku
ORDER BY CASE :worst WHEN 'return_rate' THEN returned / nullif(CAST(sold AS numeric), 0)
                     WHEN 'complaint_rate' THEN complaints / nullif(CAST(orders AS numeric), 0)
                     ELSE sold END DESC NULLS LAST, sold DESC NULLS LAST, sku
LIMIT :limit
"""

_ASSUMPTION = """
SELECT body ->> :kpi AS text FROM policies WHERE name = 'assumptions' ORDER BY version DESC LIMIT 1
"""

Filters = dict[str, str]
"""Of whom the figures are: ``owner`` of the file, ``segment`` where he stands now."""
Span = tuple[datetime, datetime]
"""From an instant until before another."""


async def assumption(tx: Tx, kpi: str) -> str | None:
    """What the newest version of the policy ``assumptions`` says beside a figure."""
    rows = await fetch(tx, _ASSUMPTION, kpi=kpi)
    return rows[0]["text"] if rows else None


async def retention(tx: Tx, period: Period, of: Filters) -> Ratio:
    """Buyers of the period before, and who of them bought again."""
    return _ratio(await _ask(tx, _RETENTION, period, of, before=period.before.since))


async def repurchase(tx: Tx, period: Period, of: Filters) -> Ratio:
    """Buyers, and who of them bought on several days."""
    return _ratio(await _ask(tx, _REPURCHASE, period, of))


async def referral(tx: Tx, period: Period, of: Filters) -> Ratio:
    """New customers, and who of them came by a referral code."""
    return _ratio(await _ask(tx, _REFERRAL, period, of))


async def satisfaction(tx: Tx, within: Span, of: Filters) -> Satisfaction:
    """What customers said between two instants, by kind."""
    rows = await _ask(tx, _SATISFACTION, None, of, begins=within[0], ends=within[1])
    return Satisfaction(tuple(Voice(**row) for row in rows))


async def products(
    tx: Tx, period: Period, within: Span, of: Filters, sku: str | None, worst: str, limit: int
) -> Products:
    """What was sold and came back, and of which products was complained; ``within`` are the period's instants."""
    everything = (await _ask(tx, _LINES + _ALL_LINES, period, of))[0]
    rows = await _ask(
        tx, _LINES + _PRODUCTS, period, of, begins=within[0], ends=within[1], sku=sku, worst=worst, limit=limit
    )
    return Products(**everything, items=tuple(Sold(**row) for row in rows))


async def churn(tx: Tx, period: Period, of: Filters, policy: LifecyclePolicy) -> Churn:
    """Customers at both ends of the period, and who came and went in between."""
    names = ("rhythm_purchase_days", "lost_days", "lost_gaps", "shortest_lost_days")
    limits = {name: getattr(policy, name) for name in names}
    ends = (await _ask(tx, _SPELLS + _CHURN, period, of, **limits))[0]
    weeks = await _ask(tx, _SPELLS + _WEEKS, period, of, **limits)
    return Churn(
        Ratio(ends["churned"], ends["opening"], ends["count"]),
        ends["opening"],
        ends["closing"],
        tuple(msgspec.convert(dict(row), Week) for row in weeks),
    )


async def sales(tx: Tx, period: Period, of: Filters) -> Sales:
    """What was sold, what came back, and what the best buyers bring."""
    row = (await _ask(tx, _SALES, period, of))[0]
    foreign = await _ask(tx, _UNCONVERTED, period, of)
    return Sales(
        **{name: int(value) for name, value in row.items()},
        unconverted=tuple((other["currency"], other["orders"], int(other["net"])) for other in foreign),
    )


async def cohorts(tx: Tx, period: Period, of: Filters) -> tuple[Ratio, list[Cell]]:
    """Who came again, and every month of every cohort in which somebody did."""
    cells = await _ask(tx, _COHORTS, period, of)
    return _ratio(await _ask(tx, _CAME_AGAIN, period, of)), [msgspec.convert(dict(row), Cell) for row in cells]


async def _ask(tx: Tx, question: str, period: Period | None, of: Filters, **params: Any) -> Sequence[Row]:
    """Over the orders up to the period's end, the feedback between ``begins`` and ``ends``, or both."""
    conditions = " AND ".join(_FILTERS[name] for name in of) or "true"
    read = [_ORDERS] if period else []
    if "begins" in params:
        read.append(_FEEDBACK)
    sql = f"WITH {','.join(part.format(conditions) for part in read)}{question}"
    given = {"since": period.since, "until": period.until, **params} if period else params
    return await fetch(tx, sql, **of, **{name: value for name, value in given.items() if f":{name}" in sql})


def _ratio(rows: Sequence[Row]) -> Ratio:
    row = rows[0]
    return Ratio(row["numerator"], row["denominator"], int(row["count"]))
