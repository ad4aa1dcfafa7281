"""Rows beside the ledger that disagree: with themselves, with one another, with who is whom. All SQL of that proof."""

from collections.abc import Sequence

from shared.db import Row, Tx, fetch

_PERSON = "coalesce(a.survivor_account_id, a.account_id)"
_PORTIONS = f"""
SELECT t.{{id}} AS id, {_PERSON} AS person, of.origin, of.source_id, of.points
FROM {{table}} AS t JOIN accounts AS a USING (account_id)
    CROSS JOIN LATERAL unnest(t.origins, t.source_ids, t.portions) AS of (origin, source_id, points)
WHERE {{stands}}
"""
_TAKEN = _PORTIONS.format(table="takes", id="take_id", stands="t.rolled_back_at IS NULL")
_HELD = _PORTIONS.format(table="holds", id="hold_id", stands="t.state = 'open'")
_LOT, _TAKE, _HOLD = "format('lot %s %s', l.origin, l.source_id)", "'take ' || t.take_id", "'hold ' || h.hold_id"
# Of a lot as much is spent and held as its own person's takes and open holds say; what others took, they owe.
_USED = f"""
WITH used AS MATERIALIZED (
    SELECT person, origin, source_id, sum(points) AS points FROM ({{portions}}) AS each
    GROUP BY person, origin, source_id
)
SELECT a.customer_id, {_LOT} AS row
FROM lots AS l JOIN accounts AS a USING (account_id)
    LEFT JOIN used AS u ON u.person = {_PERSON} AND u.origin = l.origin AND u.source_id = l.source_id
WHERE l.{{column}} <> coalesce(u.points, 0)
"""
# Found whole before the first is taken: for one row alone the planner would look through all others for each.
_FIRST = """
WITH bad AS MATERIALIZED ({rows}) SELECT customer_id, row FROM bad ORDER BY row LIMIT 1
"""

_CHECKS: Sequence[tuple[str, str]] = (
    ("it belongs to no account", f"""
SELECT NULL AS customer_id, each.row FROM (
    SELECT account_id, {_LOT} AS row FROM lots AS l
    UNION ALL SELECT account_id, {_TAKE} FROM takes AS t
    UNION ALL SELECT account_id, {_HOLD} FROM holds AS h
) AS each LEFT JOIN accounts AS a USING (account_id) WHERE a.account_id IS NULL
"""),
    ("what is free, used and owed of it isn't what it was awarded", f"""
SELECT a.customer_id, {_LOT} AS row FROM lots AS l JOIN accounts AS a USING (account_id)
WHERE l.posted + l.spent + l.held + l.repaid - l.owed <> l.points
"""),
    ("its portions don't sum to its points", f"""
SELECT a.customer_id, {_TAKE} AS row FROM takes AS t JOIN accounts AS a USING (account_id)
WHERE t.points <> (SELECT coalesce(sum(points), 0) FROM unnest(t.portions) AS of (points))
"""),
    ("takes say otherwise than what is spent of it", _USED.format(portions=_TAKEN, column="spent")),
    ("what it took of lots that aren't its person's isn't what is owed for it", f"""
WITH taken AS MATERIALIZED ({_TAKEN}), strange AS MATERIALIZED (
    SELECT taken.id, sum(taken.points) AS points
    FROM taken LEFT JOIN lots AS l ON l.origin = taken.origin AND l.source_id = taken.source_id
        LEFT JOIN accounts AS a ON a.account_id = l.account_id
    WHERE {_PERSON} IS DISTINCT FROM taken.person GROUP BY taken.id
)
SELECT a.customer_id, {_TAKE} AS row
FROM takes AS t JOIN accounts AS a USING (account_id) LEFT JOIN strange AS s ON s.id = t.take_id
WHERE t.foreign_points <> coalesce(s.points, 0)
"""),
    ("what was committed of it and what it still holds isn't what was set aside", f"""
SELECT a.customer_id, {_HOLD} AS row
FROM holds AS h JOIN accounts AS a USING (account_id)
    CROSS JOIN LATERAL (SELECT coalesce(sum(points), 0) AS points FROM unnest(h.portions) AS of (points)) AS held
WHERE CASE h.state WHEN 'open' THEN h.committed + held.points <> h.points
                   WHEN 'committed' THEN h.committed <> h.points OR held.points <> 0
                   ELSE held.points <> 0 OR h.committed > h.points END
"""),
    ("open holds say otherwise than what is held of it", _USED.format(portions=_HELD, column="held")),
    ("its redemptions don't sum to what was committed of it", f"""
WITH committed AS MATERIALIZED (
    SELECT hold_id, sum(points) AS points FROM redemptions WHERE hold_id IS NOT NULL GROUP BY hold_id
)
SELECT a.customer_id, {_HOLD} AS row
FROM holds AS h JOIN accounts AS a USING (account_id) LEFT JOIN committed AS r USING (hold_id)
WHERE h.committed <> coalesce(r.points, 0)
"""),
    ("the ledger's entries of it aren't what is owed for it", f"""
WITH entered AS MATERIALIZED (
    SELECT account_id, source_id, sum(CASE kind WHEN 'owed' THEN points WHEN 'backed' THEN - points ELSE 0 END) AS owed
    FROM ledger WHERE origin = 'take' GROUP BY account_id, source_id
)
SELECT a.customer_id, {_TAKE} AS row
FROM takes AS t JOIN accounts AS a USING (account_id)
    LEFT JOIN entered AS e ON e.account_id = t.account_id AND e.source_id = t.take_id
WHERE t.foreign_points <> coalesce(e.owed, 0)
"""),
)  # fmt: skip
"""What is wrong with the rows that each finds; the first that finds one counts."""


async def first_fault(tx: Tx) -> tuple[str | None, str, str] | None:
    """Whose row, which one, and what is wrong with it; None where all agree."""
    for reason, rows in _CHECKS:
        found: Sequence[Row] = await fetch(tx, _FIRST.format(rows=rows))
        if found:
            return found[0]["customer_id"], found[0]["row"], reason
    return None
