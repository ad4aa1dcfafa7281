"""What events make beside facts and the views of persons, for the comparison of two histories."""

from collections.abc import AsyncIterator

from shared.db import Row, Tx, fetch

# Not what follows arrival: since when somebody stands in a class is when he was seen there.
_TABLES = (
    "SELECT merge_id, version, from_id, into_id, active, occurred_at FROM merges ORDER BY merge_id",
    "SELECT customer_id, survivor_id FROM survivors ORDER BY customer_id",
    "SELECT merge_id, version, service FROM merge_acknowledgements ORDER BY merge_id, version, service",
    """SELECT DISTINCT ON (customer_id, channel, purpose)
        customer_id, channel, purpose, granted, source, wording_version, recorded_at
    FROM consents ORDER BY customer_id, channel, purpose, id DESC""",
    """SELECT customer_id, points, complaints, tier, risk_band, risk_probability, risk_scored_at
    FROM standings ORDER BY customer_id""",
    "SELECT contact_id, customer_id, sequence, sent_at FROM contacts ORDER BY contact_id",
    "SELECT begun_as, id, customer_id, open FROM complaints ORDER BY begun_as, id",
    """SELECT customer_id, segment, class, rule_version, next_transition_at, CAST(inputs AS text) AS inputs
    FROM placements ORDER BY customer_id, segment""",
    """SELECT order_id, customer_id, occurred_at, day, channel, currency, total, net, counts, cancelled, skus
    FROM standing_orders ORDER BY order_id""",
    "SELECT baskets FROM counting",
    "SELECT sku, baskets FROM item_counts WHERE baskets <> 0 ORDER BY sku",
    "SELECT first, second, baskets FROM item_pairs WHERE baskets <> 0 ORDER BY first, second",
    "SELECT sku, changed_at, source, event_id, encode(body, 'hex') AS body FROM products ORDER BY sku",
)
_CUSTOMERS = "SELECT customer_id FROM customers ORDER BY customer_id"


async def rows(tx: Tx) -> AsyncIterator[Row]:
    """The rows of each table, sorted by its key."""
    for table in _TABLES:
        for row in await fetch(tx, table):
            yield row


async def customers(tx: Tx) -> list[str]:
    """Everybody who has a file, joined ids and all."""
    return [row["customer_id"] for row in await fetch(tx, _CUSTOMERS)]
