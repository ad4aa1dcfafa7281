"""Falls of tiers that customers were warned of."""

from shared.migrations import run_sql

revision = "0007"
down_revision = "0006"

# The days, of the house, of falls to come that were told: each once, also where the fall moves away and back.
WARNED = "ALTER TABLE tiers ADD COLUMN warned_for date[] NOT NULL DEFAULT '{}'"


def upgrade() -> None:
    """A column."""
    run_sql(WARNED)
