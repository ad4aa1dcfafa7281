"""The catalogue by category and price; orders as they stand, to count them; what is bought together."""

import msgspec
import sqlalchemy as sa
from alembic import op

from shared.migrations import run_sql

revision = "0005"
down_revision = "0004"

_PRODUCTS = """
ALTER TABLE products
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN category text NOT NULL DEFAULT '',
    ADD COLUMN currency text NOT NULL DEFAULT '',
    ADD COLUMN price bigint NOT NULL DEFAULT 0,
    ADD COLUMN upgrade_of text,
    ADD COLUMN accessory_of text[] NOT NULL DEFAULT '{}';
CREATE INDEX products_category ON products (category, sku);
CREATE INDEX products_price ON products (category, currency, price, sku);
CREATE INDEX products_upgrade ON products (upgrade_of) WHERE upgrade_of IS NOT NULL;
CREATE INDEX products_accessory ON products USING gin (accessory_of);
"""
# Which transaction recorded a fact: whoever has counted all up to the oldest that still runs has missed none. BRIN,
# because facts are only ever appended: next to nothing for whoever writes, and the newest are found at the end.
_RECORDED_IN = """
ALTER TABLE facts ADD COLUMN recorded_in bigint NOT NULL DEFAULT 0;
ALTER TABLE facts ALTER COLUMN recorded_in SET DEFAULT txid_current();
CREATE INDEX facts_recorded_in ON facts USING brin (recorded_in) WITH (pages_per_range = 32, autosummarize = on);
"""
_ORDERS = """
CREATE TABLE standing_orders (
    order_id text PRIMARY KEY,
    customer_id text NOT NULL,
    occurred_at timestamptz NOT NULL,
    day date NOT NULL,
    channel text NOT NULL,
    currency text NOT NULL,
    total bigint NOT NULL,
    net bigint NOT NULL,
    counts boolean NOT NULL,
    cancelled boolean NOT NULL,
    skus text[] COLLATE "C" NOT NULL
);
CREATE INDEX standing_orders_day ON standing_orders (day);
CREATE INDEX standing_orders_customer ON standing_orders (customer_id, day);

CREATE TABLE stale_orders (order_id text PRIMARY KEY);

CREATE TABLE counting (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    counted_to bigint NOT NULL,
    counted_at timestamptz,
    baskets bigint NOT NULL
);
INSERT INTO counting (counted_to, baskets) VALUES (0, 0);

CREATE TABLE item_counts (
    sku text COLLATE "C" PRIMARY KEY,
    baskets bigint NOT NULL
) WITH (fillfactor = 80);
CREATE TABLE item_pairs (
    first text COLLATE "C" NOT NULL,
    second text COLLATE "C" NOT NULL,
    baskets bigint NOT NULL,
    PRIMARY KEY (first, second)
) WITH (fillfactor = 80);
CREATE INDEX item_pairs_second ON item_pairs (second);
"""
_RECOMMENDATIONS = {
    "bought_within_days": 365,
    "not_again_within_days": 60,
    "together_at_least": 3,
    "lift_at_least": "1.2",
    "price_step_at_least": "0.10",
    "price_step_at_most": "1.00",
}


def upgrade() -> None:
    """Tables, and the columns of products known already."""
    run_sql(_PRODUCTS, _RECORDED_IN, _ORDERS)
    _describe_products()
    seed = sa.text("INSERT INTO policies (name, version, body) VALUES ('recommendations', 1, CAST(:body AS jsonb))")
    op.get_bind().execute(seed, {"body": msgspec.json.encode(_RECOMMENDATIONS).decode()})


def _describe_products() -> None:
    from services.profile.products.domain import described

    known = op.get_bind().execute(sa.text("SELECT sku, body FROM products")).all()
    update = sa.text(
        "UPDATE products SET category = :category, currency = :currency, price = :price, upgrade_of = :upgrade_of,"
        " accessory_of = :accessory_of WHERE sku = :sku"
    )
    if rows := [{"sku": row.sku, **described(bytes(row.body))} for row in known]:
        op.get_bind().execute(update, rows)
