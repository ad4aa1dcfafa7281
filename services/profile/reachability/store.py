"""One read over files, addresses and consents: what a message needs at hand-off."""

from collections.abc import Sequence

from shared.db import Row, Tx, fetch

# Per item one probe each into customers, their keys, contact_points and consents by their leading index columns.
_REACH = """
SELECT w.customer_id, w.channel, c.kind, c.name, c.locale, c.time_zone, c.restricted, address.sealed AS address,
       k.wrapped, k.wrapped_by,
       said.granted, said.recorded_at
FROM unnest(CAST(:customers AS text[]), CAST(:channels AS text[]), CAST(:kinds AS text[]))
    WITH ORDINALITY AS w (customer_id, channel, kind, n)
LEFT JOIN customers AS c ON c.customer_id = w.customer_id
LEFT JOIN customer_keys AS k ON k.customer_id = w.customer_id
LEFT JOIN LATERAL (SELECT p.sealed FROM contact_points AS p
                   WHERE p.customer_id = w.customer_id AND p.kind = w.kind ORDER BY p.position LIMIT 1) AS address
    ON true
LEFT JOIN LATERAL (SELECT s.granted, s.recorded_at FROM consents AS s
                   WHERE s.customer_id = w.customer_id AND s.channel = w.channel AND s.purpose = :purpose
                   ORDER BY s.id DESC LIMIT 1) AS said ON true
ORDER BY w.n
"""


async def reach(
    tx: Tx, purpose: str, customers: Sequence[str], channels: Sequence[str], kinds: Sequence[str]
) -> Sequence[Row]:
    """A row an item, in the order asked; nulls where nothing is known; the address sealed."""
    return await fetch(tx, _REACH, purpose=purpose, customers=customers, channels=channels, kinds=kinds)
