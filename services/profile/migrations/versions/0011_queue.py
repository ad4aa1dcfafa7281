"""Who waits to be placed, once each."""

from shared.migrations import run_sql

revision = "0011"
down_revision = "0010"

# Marks are many and written by whoever changes something; of them this is made, a row a customer.
_QUEUE = """
CREATE TABLE placement_queue (
    customer_id text PRIMARY KEY,
    cause text NOT NULL,
    silent boolean NOT NULL,
    queued_at timestamptz NOT NULL DEFAULT now()
);
"""


def upgrade() -> None:
    """Makes the queue."""
    run_sql(_QUEUE)
