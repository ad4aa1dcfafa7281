"""The tables that every service's database has for its events. Migrations run these statements."""

MESSAGING_V1 = """
CREATE TABLE inbox (
    source text NOT NULL,
    id text NOT NULL,
    digest bytea NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (source, id)
);
-- B-tree, not BRIN: a batch has one time, so its entries share a posting list, and expiry finds them in pieces.
CREATE INDEX inbox_received_at ON inbox (received_at);

CREATE TABLE facts (
    kind text NOT NULL,
    key text NOT NULL,
    version integer NOT NULL,
    customer_id text NOT NULL,
    order_id text,
    occurred_at timestamptz NOT NULL,
    source text NOT NULL,
    event_id text NOT NULL,
    digest bytea NOT NULL,
    backfill boolean NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (kind, key, version)
);
CREATE INDEX facts_customer ON facts (customer_id, occurred_at);
-- Purchases are found by their key; what else belongs to an order is rare.
CREATE INDEX facts_order ON facts (order_id) WHERE kind <> 'purchase-recorded';

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key bytea,
    value bytea,
    headers bytea NOT NULL,
    created_at timestamptz NOT NULL,
    published_partition integer,
    published_offset bigint
);
CREATE INDEX outbox_waiting ON outbox (id) WHERE published_offset IS NULL;

CREATE TABLE sequences (
    customer_id text PRIMARY KEY,
    last bigint NOT NULL
);

CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    value_sha256 bytea NOT NULL,
    key bytea,
    value bytea,
    headers bytea NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('dead', 'parked')),
    source text NOT NULL,
    code text NOT NULL,
    pointer text NOT NULL,
    detail text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    times integer NOT NULL DEFAULT 1,
    replayed_at timestamptz,
    UNIQUE (topic, value_sha256)
);

CREATE TABLE flow (
    source text NOT NULL,
    hour timestamptz NOT NULL,
    received bigint NOT NULL,
    applied bigint NOT NULL,
    duplicate bigint NOT NULL,
    parked bigint NOT NULL,
    dead bigint NOT NULL,
    PRIMARY KEY (hour, source)
);
"""
