"""The catalogue: a row a product, the newest by event time."""

from collections.abc import Sequence
from datetime import datetime

from services.profile.products.domain import Product, described, read
from shared.db import Row, Tx, columns, execute, fetch

# A list of lists is an array only where all are of one length: accessories travel as text and come apart here.
_KEEP = """
INSERT INTO products AS p (sku, changed_at, source, event_id, body, category, currency, price, upgrade_of,
                           accessory_of)
SELECT sku, changed_at, source, event_id, body, category, currency, price, upgrade_of, CAST(accessory_of AS text[])
FROM unnest(CAST(:sku AS text[]), CAST(:changed_at AS timestamptz[]), CAST(:source AS text[]),
            CAST(:event_id AS text[]), CAST(:body AS bytea[]), CAST(:category AS text[]), CAST(:currency AS text[]),
            CAST(:price AS bigint[]), CAST(:upgrade_of AS text[]), CAST(:accessory_of AS text[]))
    AS new (sku, changed_at, source, event_id, body, category, currency, price, upgrade_of, accessory_of)
ORDER BY sku
ON CONFLICT (sku) DO UPDATE SET
    changed_at = excluded.changed_at, source = excluded.source, event_id = excluded.event_id, body = excluded.body,
    category = excluded.category, currency = excluded.currency, price = excluded.price,
    upgrade_of = excluded.upgrade_of, accessory_of = excluded.accessory_of, version = p.version + 1
WHERE (excluded.changed_at, excluded.source, excluded.event_id) > (p.changed_at, p.source, p.event_id)
"""
_COLUMNS = (
    "sku", "changed_at", "source", "event_id", "body", "category", "currency", "price", "upgrade_of", "accessory_of",
)  # fmt: skip
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('roost.product.' || :sku, 0))"
_FIND = "SELECT body, changed_at, version FROM products WHERE sku = :sku"
_PAGE = """
SELECT body, changed_at, version FROM products
WHERE (CAST(:category AS text) IS NULL OR category = :category) AND (CAST(:after AS text) IS NULL OR sku > :after)
ORDER BY sku LIMIT :limit
"""
_NAMED = "SELECT body, changed_at, version FROM products WHERE sku = ANY(:skus)"
# Two index scans: that on upgrade_of, and the GIN index of accessories.
_FOR_OWNERS = """
SELECT body, changed_at, version FROM products WHERE upgrade_of = ANY(:skus)
UNION ALL
SELECT body, changed_at, version FROM products WHERE accessory_of && CAST(:skus AS text[])
"""
_NEXT_STEP = """
SELECT p.body, p.changed_at, p.version
FROM unnest(CAST(:categories AS text[]), CAST(:currencies AS text[]), CAST(:at_least AS bigint[]),
            CAST(:at_most AS bigint[])) AS step (category, currency, at_least, at_most)
CROSS JOIN LATERAL (
    SELECT body, changed_at, version FROM products
    WHERE category = step.category AND currency = step.currency AND price BETWEEN step.at_least AND step.at_most
      AND NOT sku = ANY(:without)
    ORDER BY price, sku LIMIT 1) AS p
"""

Step = tuple[str, str, int, int]
"""A category, a currency, and the least and the highest price of the next step, in minor units."""
Said = tuple[str, datetime, str, str, bytes]
"""What somebody says of a product: sku, since when it holds, source and id of who says it, the event's data."""


async def keep(tx: Tx, said: Sequence[Said]) -> int:
    """Writes products, each named once, unless something newer is known; answers how many were."""
    rows = []
    for one in sorted(said):
        found = described(one[4])
        accessory_of = _array(found.pop("accessory_of"))
        rows.append((*one, *found.values(), accessory_of))
    return await execute(tx, _KEEP, **dict(zip(_COLUMNS, columns(rows, len(_COLUMNS)), strict=True)))


async def lock(tx: Tx, sku: str) -> None:
    """Keeps others who edit this product waiting until the transaction ends, be there a row or not."""
    await fetch(tx, _LOCK, sku=sku)


async def find(tx: Tx, sku: str) -> Product | None:
    """A product as it stands."""
    rows = await fetch(tx, _FIND, sku=sku)
    return _product(rows[0]) if rows else None


async def page(tx: Tx, category: str | None, after: str | None, limit: int) -> list[Product]:
    """Products by their sku, of a category if one is named."""
    return [_product(row) for row in await fetch(tx, _PAGE, category=category, after=after, limit=limit)]


async def named(tx: Tx, skus: Sequence[str]) -> list[Product]:
    """Those of these products that the catalogue knows."""
    return [_product(row) for row in await fetch(tx, _NAMED, skus=skus)]


async def for_owners(tx: Tx, skus: Sequence[str]) -> list[Product]:
    """Upgrades and accessories of these products; one that is both is there twice."""
    return [_product(row) for row in await fetch(tx, _FOR_OWNERS, skus=skus)]


async def next_step(tx: Tx, steps: Sequence[Step], without: Sequence[str]) -> list[Product]:
    """The cheapest product of each step."""
    categories, currencies, at_least, at_most = columns(steps, 4)
    found = await fetch(
        tx,
        _NEXT_STEP,
        categories=categories,
        currencies=currencies,
        at_least=at_least,
        at_most=at_most,
        without=without,
    )
    return [_product(row) for row in found]


def _product(row: Row) -> Product:
    return Product(read(row["body"]), row["changed_at"], row["version"])


def _array(names: Sequence[str]) -> str:
    quoted = (name.replace("\\", "\\\\").replace('"', '\\"') for name in names)
    return "{" + ",".join(f'"{name}"' for name in quoted) + "}"
