"""Of whom history was loaded since he was last scored: what it tells of him sets nothing off."""

from shared.migrations import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """A column."""
    run_sql("ALTER TABLE customers ADD COLUMN loaded boolean NOT NULL DEFAULT false")
