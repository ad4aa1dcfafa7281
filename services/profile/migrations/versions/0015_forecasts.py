"""What churn foretells, which complaints are open, what contacts came to, and what customers spend in all."""

from shared.migrations import run_sql

revision = "0015"
down_revision = "0014"

_TABLES = """
ALTER TABLE standings
    ADD COLUMN scored_sequence bigint NOT NULL DEFAULT 0,
    ADD COLUMN forecast bytea,
    ADD COLUMN open_complaints integer NOT NULL DEFAULT 0;
-- When a contact was handed over, whatever became of it then; sent_at says it of those that count as sent.
ALTER TABLE contacts ADD COLUMN handed_at timestamptz;
UPDATE contacts SET handed_at = sent_at WHERE sent_at IS NOT NULL;
ALTER TABLE customers ADD COLUMN wallet_estimate jsonb;

CREATE TABLE complaints (
    begun_as text NOT NULL,
    id text NOT NULL,
    customer_id text NOT NULL,
    sequence bigint NOT NULL,
    open boolean NOT NULL,
    PRIMARY KEY (begun_as, id)
);
CREATE INDEX complaints_customer ON complaints (customer_id);
"""
# Nothing has closed one yet. Whose facts stand under a name that nobody has was erased.
OPENED = """
INSERT INTO complaints (begun_as, id, customer_id, sequence, open)
SELECT 'feedback', f.key, f.customer_id, 0, true FROM facts AS f JOIN customers USING (customer_id)
WHERE f.kind = 'feedback-received' AND CAST(convert_from(f.body, 'UTF8') AS jsonb) ->> 'kind' = 'complaint';
UPDATE standings SET open_complaints = complaints WHERE complaints > 0;
"""


def upgrade() -> None:
    """Columns, a table, and what it holds of what is there."""
    run_sql(_TABLES, OPENED)
