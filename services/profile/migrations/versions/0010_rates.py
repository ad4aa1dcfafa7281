"""Rates of exchange, targets, rhythm and demand, VIPs."""

import msgspec
import sqlalchemy as sa
from alembic import op

from shared.migrations import role, run_sql

revision = "0010"
down_revision = "0009"

_RATES = """
CREATE TABLE rates (
    currency text NOT NULL,
    valid_from date NOT NULL,
    version integer NOT NULL,
    valid_to date NOT NULL CHECK (valid_to >= valid_from),
    rate text NOT NULL,
    source text NOT NULL,
    stated_at timestamptz NOT NULL,
    PRIMARY KEY (currency, valid_from, version)
);
-- An order in another currency, on the day for which it wants a rate: once it has one, it keeps that.
CREATE TABLE order_rates (
    order_id text NOT NULL,
    currency text NOT NULL,
    day date NOT NULL,
    valid_from date,
    version integer,
    PRIMARY KEY (order_id, currency, day)
);
CREATE INDEX order_rates_waiting ON order_rates (currency, day, order_id) WHERE version IS NULL;
-- Rates that were stated, until the orders that waited for them are counted.
CREATE TABLE new_rates (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    currency text NOT NULL,
    valid_from date NOT NULL,
    valid_to date NOT NULL
);
"""
_ORDERS = """
ALTER TABLE standing_orders
    ADD COLUMN house_total bigint,
    ADD COLUMN house_net bigint,
    ADD COLUMN backfill boolean NOT NULL DEFAULT false,
    -- Parallel arrays, a place a line: of which product and category, in thousandths of a piece.
    ADD COLUMN line_skus text[] NOT NULL DEFAULT '{}',
    ADD COLUMN line_categories text[] NOT NULL DEFAULT '{}',
    ADD COLUMN line_sold bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN line_returned bigint[] NOT NULL DEFAULT '{}';
-- What is counted already stands in the sums until the counting has come by again.
UPDATE standing_orders SET house_total = total, house_net = net
WHERE NOT currency = ANY (ARRAY(
    SELECT DISTINCT json_object_keys(CAST(convert_from(elsewhere, 'UTF8') AS json))
    FROM purchase_states WHERE elsewhere IS NOT NULL));
INSERT INTO stale_orders (order_id) SELECT order_id FROM standing_orders ON CONFLICT DO NOTHING;
"""
_FIGURES = """
CREATE TABLE kpi_targets (
    kpi text NOT NULL,
    period_from date NOT NULL,
    period_to date NOT NULL,
    version integer NOT NULL,
    target text NOT NULL,
    set_at timestamptz NOT NULL,
    PRIMARY KEY (kpi, period_from, period_to, version)
);
CREATE TABLE kpi_reports (
    kpi text NOT NULL,
    period_from date NOT NULL,
    period_to date NOT NULL,
    definition_version integer NOT NULL,
    figures jsonb NOT NULL,
    reported_at timestamptz NOT NULL,
    PRIMARY KEY (kpi, period_from, period_to)
);
"""
_CHANGES = """
CREATE TABLE rhythm_drops (
    customer_id text PRIMARY KEY,
    last_day date NOT NULL
);
CREATE TABLE category_demand (
    category text PRIMARY KEY,
    direction text NOT NULL
);
"""
_SEEDS = {
    "rhythm": {"gaps_at_least": 6, "level": "0.01", "silent_days_at_least": 7, "silent_days_at_most": 400},
    "class": {"vip_recency": 3, "vip_frequency": 4, "vip_monetary": 4},
    "assumptions": {
        "repurchase": "Loyal customers spend 2 to 4 times as much as others.",
        "satisfaction": "One satisfied customer brings 8 leads and 1 sale, an unhappy one reaches 25 people.",
        "sales": "80 % of profit comes from 20 % of the customers.",
    },
    "demand": {"days": 28, "level": "0.05", "orders_at_least": 20, "change_at_least": "0.2"},
}


def upgrade() -> None:
    """Tables; every order is counted again, for its lines and its worth in the house's currency."""
    run_sql(_RATES, _ORDERS, _FIGURES, _CHANGES)
    run_sql(f'REVOKE UPDATE, DELETE, TRUNCATE ON rates, kpi_targets, kpi_reports FROM "{role()}"')
    # Whoever was here before gets his class in silence.
    run_sql("INSERT INTO placement_marks (customer_id, backfill) SELECT customer_id, true FROM customers")
    seed = sa.text("INSERT INTO policies (name, version, body) VALUES (:name, 1, CAST(:body AS jsonb))")
    rows = [{"name": name, "body": msgspec.json.encode(body).decode()} for name, body in _SEEDS.items()]
    op.get_bind().execute(seed, rows)
