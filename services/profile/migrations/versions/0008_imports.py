"""Imports as jobs: their rows, their errors, what they changed."""

from shared.migrations import run_sql

revision = "0008"
down_revision = "0007"

# What a file said of people stands here only as long as it is needed: chunks go with the transaction that works
# through them, records of failed rows and differences when they are forgotten. All of it is sealed.
_TABLES = """
CREATE TABLE imports (
    import_id text PRIMARY KEY,
    state text NOT NULL,
    format text NOT NULL,
    columns text[] NOT NULL DEFAULT '{}',
    name text,
    dry_run boolean NOT NULL,
    as_of timestamptz,
    content_hash bytea,
    bytes bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    created bigint NOT NULL DEFAULT 0,
    changed bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    next_chunk integer NOT NULL DEFAULT 0,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    traceparent text,
    -- The key under which chunks, records and differences are sealed.
    wrapped bytea,
    wrapped_by text,
    reverted_by text,
    revert_started_at timestamptz,
    revert_ended_at timestamptz,
    removed bigint NOT NULL DEFAULT 0,
    restored bigint NOT NULL DEFAULT 0,
    kept bigint NOT NULL DEFAULT 0
);
CREATE INDEX imports_newest ON imports (created_at, import_id);
CREATE INDEX imports_at_work ON imports (created_at, import_id)
    WHERE state IN ('receiving', 'waiting', 'running', 'reverting');
CREATE INDEX imports_content ON imports (content_hash);
CREATE INDEX imports_sealed ON imports (ended_at) WHERE wrapped IS NOT NULL;

CREATE TABLE import_chunks (
    import_id text NOT NULL REFERENCES imports ON DELETE CASCADE,
    chunk integer NOT NULL,
    first_row bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (import_id, chunk)
);

-- Rows that weren't taken, one entry a fault. The record is what the file said, to be mended and sent again.
CREATE TABLE import_faults (
    import_id text NOT NULL REFERENCES imports ON DELETE CASCADE,
    row bigint NOT NULL,
    position integer NOT NULL,
    customer_id text,
    code text NOT NULL,
    pointer text NOT NULL,
    detail text NOT NULL,
    record bytea,
    PRIMARY KEY (import_id, row, position)
);
CREATE INDEX import_faults_customer ON import_faults (customer_id) WHERE customer_id IS NOT NULL;

-- Whom each chunk touched, so that it can be taken back; of a dry run whom it would have made.
CREATE TABLE import_customers (
    customer_id text NOT NULL,
    import_id text NOT NULL,
    chunk integer NOT NULL,
    created boolean NOT NULL,
    bare boolean NOT NULL,
    consents jsonb,
    identifiers text[],
    PRIMARY KEY (customer_id, import_id, chunk)
);
CREATE INDEX import_customers_chunk ON import_customers (import_id, chunk);

-- The first differences that a dry run found.
CREATE TABLE import_differences (
    import_id text NOT NULL REFERENCES imports ON DELETE CASCADE,
    row bigint NOT NULL,
    customer_id text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (import_id, row)
);
CREATE INDEX import_differences_customer ON import_differences (customer_id);

-- What a revert had to leave, and why.
CREATE TABLE import_leftovers (
    import_id text NOT NULL REFERENCES imports ON DELETE CASCADE,
    customer_id text NOT NULL,
    code text NOT NULL,
    detail text NOT NULL,
    PRIMARY KEY (import_id, customer_id, code, detail)
);
CREATE INDEX import_leftovers_customer ON import_leftovers (customer_id);
"""


def upgrade() -> None:
    """Everything of an import goes with it; what a file said of a customer is found by his id."""
    run_sql(_TABLES)
