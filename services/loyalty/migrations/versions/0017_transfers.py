"""Whom a customer named when points were transferred: all that he is shown of who got them."""

from shared.migrations import run_sql

revision = "0017"
down_revision = "0016"

# Null once that person was erased, and for what was transferred before. The index: for the erasure.
NAMED = """
ALTER TABLE transfers ADD COLUMN named text;
CREATE INDEX transfers_named ON transfers (named) WHERE named IS NOT NULL;
"""


def upgrade() -> None:
    """A column, an index."""
    run_sql(NAMED)
