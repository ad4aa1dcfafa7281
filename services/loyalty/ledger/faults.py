"""Rows beside the ledger that disagree: with themselves, with one another, with who is whom. All SQL of that proof."""

from collections.abc import Sequence

from shared.db import Row, Tx, fetch

_PERSONS = """
persons AS (SELECT account_id, customer_id, coalesce(survivor_account_id, account_id) AS person FROM accounts)
"""
_PORTIONS = """
SELECT t.{id} AS id, p.person, of.origin, of.source_id, of.points
FROM {table} AS t JOIN persons AS p USING (account_id)
    CROSS JOIN LATERAL unnest(t.origins, t.source_ids, t.portions) AS of (origin, source_id, points)
WHERE {stands}
"""
_TAKEN = _PORTIONS.format(table="takes", id="take_id", stands="t.rolled_back_at IS NULL")
_HELD = _PORTIONS.format(table="holds", id="hold_id", stands="t.state = 'open'")
_LOT = "format('lot %s %s', l.origin, l.source_id)"
# Of a lot as much is spent and held as its own person's takes and open holds say; what others took, they owe.
_USED = """
WITH {persons}, used AS (
    SELECT person, origin, source_id, sum(points) AS points FROM ({portions}) AS each GROUP BY person, origin, source_id
)
SELECT p.customer_id, {lot} AS row
FROM lots AS l JOIN persons AS p USING (account_id)
    LEFT JOIN used AS u ON u.person = p.person AND u.origin = l.origin AND u.source_id = l.source_id
WHERE l.{column} <> coalesce(u.points, 0) ORDER BY l.account_id, l.origin, l.source_id LIMIT 1
"""

_CHECKS: Sequence[tuple[str, str]] = (
    ("it belongs to no account", f"""
SELECT NULL AS customer_id, row FROM (
    SELECT account_id, {_LOT} AS row FROM lots AS l
    UNION ALL SELECT account_id, 'take ' || take_id FROM takes
    UNION ALL SELECT account_id, 'hold ' || hold_id FROM holds
) AS each WHERE NOT EXISTS (SELECT FROM accounts AS a WHERE a.account_id = each.account_id) ORDER BY row LIMIT 1
"""),
    ("what is free, used and owed of it isn't what it was awarded", f"""
SELECT a.customer_id, {_LOT} AS row FROM lots AS l JOIN accounts AS a USING (account_id)
WHERE l.posted + l.spent + l.held + l.repaid - l.owed <> l.points
ORDER BY l.account_id, l.origin, l.source_id LIMIT 1
"""),
    ("its portions don't sum to its points", """
SELECT a.customer_id, 'take ' || t.take_id AS row FROM takes AS t JOIN accounts AS a USING (account_id)
WHERE t.points <> (SELECT coalesce(sum(points), 0) FROM unnest(t.portions) AS of (points))
ORDER BY t.take_id LIMIT 1
"""),
    ("takes say otherwise than what is spent of it", _USED.format(
        persons=_PERSONS, portions=_TAKEN, lot=_LOT, column="spent")),
    ("what it took of lots that aren't its person's isn't what is owed for it", f"""
WITH {_PERSONS}, taken AS ({_TAKEN}), strange AS (
    SELECT taken.id, sum(taken.points) AS points
    FROM taken LEFT JOIN (lots AS l JOIN persons AS owner USING (account_id))
        ON l.origin = taken.origin AND l.source_id = taken.source_id AND owner.person = taken.person
    WHERE owner.person IS NULL GROUP BY taken.id
)
SELECT p.customer_id, 'take ' || t.take_id AS row
FROM takes AS t JOIN persons AS p USING (account_id) LEFT JOIN strange AS s ON s.id = t.take_id
WHERE t.foreign_points <> coalesce(s.points, 0) ORDER BY t.take_id LIMIT 1
"""),
    ("what was committed of it and what it still holds isn't what was set aside", """
SELECT a.customer_id, 'hold ' || h.hold_id AS row
FROM holds AS h JOIN accounts AS a USING (account_id)
    CROSS JOIN LATERAL (SELECT coalesce(sum(points), 0) AS points FROM unnest(h.portions) AS of (points)) AS held
WHERE CASE h.state WHEN 'open' THEN h.committed + held.points <> h.points
                   WHEN 'committed' THEN h.committed <> h.points OR held.points <> 0
                   ELSE held.points <> 0 OR h.committed > h.points END
ORDER BY h.hold_id LIMIT 1
"""),
    ("open holds say otherwise than what is held of it", _USED.format(
        persons=_PERSONS, portions=_HELD, lot=_LOT, column="held")),
    ("its redemptions don't sum to what was committed of it", """
SELECT a.customer_id, 'hold ' || h.hold_id AS row
FROM holds AS h JOIN accounts AS a USING (account_id)
    LEFT JOIN (SELECT hold_id, sum(points) AS points FROM redemptions WHERE hold_id IS NOT NULL GROUP BY hold_id) AS r
        USING (hold_id)
WHERE h.committed <> coalesce(r.points, 0) ORDER BY h.hold_id LIMIT 1
"""),
    ("the ledger's entries of it aren't what is owed for it", """
SELECT a.customer_id, 'take ' || t.take_id AS row
FROM takes AS t JOIN accounts AS a USING (account_id) LEFT JOIN (
    SELECT account_id, source_id, sum(CASE kind WHEN 'owed' THEN points WHEN 'backed' THEN - points ELSE 0 END) AS owed
    FROM ledger WHERE origin = 'take' GROUP BY account_id, source_id
) AS e ON e.account_id = t.account_id AND e.source_id = t.take_id
WHERE t.foreign_points <> coalesce(e.owed, 0) ORDER BY t.take_id LIMIT 1
"""),
)  # fmt: skip
"""What is wrong with the row that each finds; the first that finds one counts."""


async def first_fault(tx: Tx) -> tuple[str | None, str, str] | None:
    """Whose row, which one, and what is wrong with it; None where all agree."""
    for reason, sql in _CHECKS:
        found: Sequence[Row] = await fetch(tx, sql)
        if found:
            return found[0]["customer_id"], found[0]["row"], reason
    return None
