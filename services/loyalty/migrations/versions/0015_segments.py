"""Which segments a customer was in when, beside those that he is in."""

from shared.migrations import run_sql

revision = "0015"
down_revision = "0014"

# Read by customer. Of what was told before, the last word is all that there is.
HISTORY = """
CREATE TABLE segment_history (
    customer_id text NOT NULL,
    segment text NOT NULL,
    sequence bigint NOT NULL CHECK (sequence > 0),
    class text NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, segment, sequence)
);
INSERT INTO segment_history (customer_id, segment, sequence, class, occurred_at)
SELECT customer_id, segment, sequence, class, changed_at FROM customer_segments;
"""


def upgrade() -> None:
    """A table, and what is known so far."""
    run_sql(HISTORY)
