"""What is bought together with what a customer keeps."""

from collections.abc import Sequence

from services.profile.recommendations.domain import Pair, Policy
from shared.db import Tx, fetch

# The primary key for one half of the pairs, the index on second for the other.
_PAIRS = """
WITH pairs AS (
    SELECT first AS anchor, second AS sku, baskets AS together FROM item_pairs
    WHERE first = ANY(:anchors) AND baskets >= :together
    UNION ALL
    SELECT second, first, baskets FROM item_pairs WHERE second = ANY(:anchors) AND baskets >= :together
)
SELECT p.anchor, p.sku, p.together, a.baskets AS with_anchor, i.baskets AS with_sku, c.baskets
FROM pairs AS p JOIN item_counts AS a ON a.sku = p.anchor JOIN item_counts AS i ON i.sku = p.sku, counting AS c
WHERE NOT p.sku = ANY(:without)
  AND p.together * c.baskets >= CAST(:lift AS numeric) * a.baskets * i.baskets
"""


async def pairs(tx: Tx, anchors: Sequence[str], without: Sequence[str], rules: Policy) -> list[Pair]:
    """What is bought with these products often enough, by the policy's support and lift."""
    found = await fetch(
        tx,
        _PAIRS,
        anchors=anchors,
        without=without,
        together=rules.together_at_least,
        lift=rules.lift_at_least,
    )
    return [Pair(**row) for row in found]
