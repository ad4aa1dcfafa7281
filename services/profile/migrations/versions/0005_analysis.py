"""Recommendations and what they are counted from."""

from shared.migrations import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Tables."""
    run_sql("SELECT 1")
