"""When a customer last said something of himself, for rules that ask."""

from shared.migrations import run_sql

revision = "0021"
down_revision = "0020"

_COLUMN = "ALTER TABLE standings ADD COLUMN feedback_at timestamptz;"
SAID = """
INSERT INTO standings (customer_id, points, complaints, tier_sequence, risk_sequence, reasons_sequence, feedback_at)
SELECT customer_id, 0, 0, 0, 0, 0, max(occurred_at) FROM facts
WHERE kind = 'feedback-received' AND customer_id IN (SELECT c.customer_id FROM customers AS c)
GROUP BY customer_id ORDER BY customer_id
ON CONFLICT (customer_id) DO UPDATE SET feedback_at = excluded.feedback_at;
"""


def upgrade() -> None:
    """A column, and what it holds of what is there."""
    run_sql(_COLUMN, SAID)
