"""The file's provenance, notes and contact persons."""

from shared.migrations import role, run_sql

revision = "0004"
down_revision = "0003"

_TABLES = """
ALTER TABLE customers
    ADD COLUMN industry text,
    ADD COLUMN occupation text,
    ADD COLUMN company_size integer,
    ADD COLUMN business_model text,
    ADD COLUMN special_needs text[] NOT NULL DEFAULT '{}',
    ADD COLUMN anniversaries jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN team jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN said_at jsonb NOT NULL DEFAULT '{}';
CREATE INDEX customers_team ON customers USING gin (team jsonb_path_ops) WHERE team <> '{}';

CREATE TABLE file_fields (
    customer_id text NOT NULL REFERENCES customers ON DELETE CASCADE,
    field text NOT NULL,
    value jsonb NOT NULL,
    source text NOT NULL,
    true_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (customer_id, field, true_at, id)
);

CREATE TABLE notes (
    note_id text PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customers ON DELETE CASCADE,
    text text NOT NULL,
    author text NOT NULL,
    written_at timestamptz NOT NULL
);
CREATE INDEX notes_newest ON notes (customer_id, written_at, note_id);

CREATE TABLE declared_attributes (
    name text PRIMARY KEY,
    version integer NOT NULL,
    type text NOT NULL,
    description text
);

CREATE TABLE contact_persons (
    person_id text PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customers ON DELETE CASCADE,
    version integer NOT NULL,
    name text NOT NULL,
    role text,
    contact_points jsonb NOT NULL
);
CREATE INDEX contact_persons_of ON contact_persons (customer_id, person_id);
"""
# What stood before sources were kept: true since the last change of its file.
BACKFILL = """
INSERT INTO file_fields (customer_id, field, value, source, true_at, recorded_at)
SELECT c.customer_id, f.key, f.value, 'unknown', c.updated_at, c.updated_at
FROM customers AS c,
     LATERAL (SELECT key, value
              FROM jsonb_each(to_jsonb(c) - ARRAY['customer_id', 'version', 'bare', 'attributes', 'said_at',
                                                  'created_at', 'updated_at'])
              UNION ALL
              SELECT 'attributes.' || key, value FROM jsonb_each(c.attributes)
              UNION ALL
              SELECT 'contact_points.' || p.kind,
                     jsonb_agg(jsonb_build_object('kind', p.kind, 'value', p.value, 'verified', p.verified)
                               ORDER BY p.position)
              FROM contact_points AS p WHERE p.customer_id = c.customer_id GROUP BY p.kind) AS f
WHERE NOT c.bare AND f.value NOT IN ('null', '[]', '{}');
UPDATE customers SET said_at = f.said_at
FROM (SELECT customer_id, jsonb_object_agg(field, true_at) AS said_at FROM file_fields GROUP BY customer_id) AS f
WHERE f.customer_id = customers.customer_id;
"""


def upgrade() -> None:
    """The history and the notes may be erased with their file; nothing in them is ever changed."""
    run_sql(_TABLES, BACKFILL, f'REVOKE UPDATE, TRUNCATE ON file_fields, notes FROM "{role()}"')
