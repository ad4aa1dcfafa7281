"""The customer file, consents, purchases, the read model's standings, and the first policies."""

import msgspec
import sqlalchemy as sa
from alembic import op

from shared.migrations import SHARED_V1, role, run_sql

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE customers (
    customer_id text PRIMARY KEY,
    version integer NOT NULL DEFAULT 1,
    bare boolean NOT NULL DEFAULT false,
    kind text NOT NULL DEFAULT 'person',
    name text,
    locale text,
    time_zone text,
    birthday jsonb,
    tags text[] NOT NULL DEFAULT '{}',
    owner text,
    tenure_start timestamptz,
    preferred_channel text,
    preferred_hours text,
    preferred_every_days integer,
    interests text[] NOT NULL DEFAULT '{}',
    price_sensitivity text,
    attributes jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX customers_tags ON customers USING gin (tags);
CREATE INDEX customers_owner ON customers (owner, customer_id) WHERE owner IS NOT NULL;
CREATE INDEX customers_name ON customers (lower(name) text_pattern_ops) WHERE name IS NOT NULL;

CREATE TABLE contact_points (
    customer_id text NOT NULL REFERENCES customers ON DELETE CASCADE,
    position integer NOT NULL,
    kind text NOT NULL,
    value text NOT NULL,
    verified boolean NOT NULL,
    PRIMARY KEY (customer_id, position)
);
CREATE INDEX contact_points_value ON contact_points (kind, value);

CREATE TABLE consents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id text NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,
    granted boolean NOT NULL,
    source text NOT NULL,
    wording_version text NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX consents_newest ON consents (customer_id, channel, purpose, id DESC) INCLUDE (granted);
CREATE FUNCTION consents_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger of consents is append-only';
END $$;
CREATE TRIGGER consents_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON consents
    FOR EACH STATEMENT EXECUTE FUNCTION consents_are_append_only();

-- Rewritten at every purchase: room in the page keeps the new version beside the old, off the index.
CREATE TABLE purchase_states (
    customer_id text PRIMARY KEY,
    orders integer NOT NULL DEFAULT 0,
    spend bigint NOT NULL DEFAULT 0,
    days integer NOT NULL DEFAULT 0,
    first_day date,
    previous_day date,
    last_day date,
    first_at timestamptz,
    last_at timestamptz,
    last_source text,
    last_event_id text,
    elsewhere bytea
) WITH (fillfactor = 70);

CREATE TABLE standings (
    customer_id text PRIMARY KEY,
    points bigint NOT NULL,
    complaints integer NOT NULL,
    tier_sequence bigint NOT NULL,
    tier text,
    risk_sequence bigint NOT NULL,
    risk_band text,
    risk_probability double precision,
    risk_scored_at timestamptz,
    reasons_sequence bigint NOT NULL,
    reasons bytea
) WITH (fillfactor = 70);

CREATE TABLE contacts (
    contact_id text PRIMARY KEY,
    customer_id text NOT NULL,
    sequence bigint NOT NULL,
    status text NOT NULL,
    purpose text NOT NULL,
    channel text NOT NULL,
    due_at timestamptz
);
CREATE INDEX contacts_next ON contacts (customer_id, due_at) WHERE status = 'planned';

CREATE TABLE products (
    sku text PRIMARY KEY,
    changed_at timestamptz NOT NULL,
    source text NOT NULL,
    event_id text NOT NULL,
    body bytea NOT NULL
);

CREATE TABLE received_events (
    source text NOT NULL,
    id text NOT NULL,
    digest bytea NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (source, id)
);
CREATE INDEX received_events_received_at ON received_events USING brin (received_at);

CREATE TABLE policies (
    name text NOT NULL,
    version integer NOT NULL,
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);
"""

_RFM = {
    "recency_days": [30, 60, 120, 240],
    "orders": [2, 4, 8, 16],
    "spend": {
        "*": [50, 150, 500, 1500],
        "CNY": [300, 1000, 3000, 10000],
        "JPY": [7000, 20000, 70000, 200000],
        "TWD": [1500, 5000, 15000, 50000],
    },
}
_LIFECYCLE = {
    "new_days": 90,
    "mature_days": 180,
    "mature_purchase_days": 6,
    "dormant_days": 90,
    "lost_days": 365,
    "returned_days": 90,
    "rhythm_purchase_days": 5,
    "dormant_gaps": 3,
    "lost_gaps": 6,
    "shortest_dormant_days": 30,
    "shortest_lost_days": 90,
}
_CONSENT = {"granted_by_default": ["service"]}
_POLICIES = {"rfm": _RFM, "lifecycle": _LIFECYCLE, "consent": _CONSENT}


def upgrade() -> None:
    run_sql(*SHARED_V1, _TABLES, f'REVOKE UPDATE, DELETE, TRUNCATE ON consents FROM "{role()}"')
    seed = sa.text("INSERT INTO policies (name, version, body) VALUES (:name, 1, CAST(:body AS jsonb))")
    rows = [{"name": name, "body": msgspec.json.encode(body).decode()} for name, body in _POLICIES.items()]
    op.get_bind().execute(seed, rows)
