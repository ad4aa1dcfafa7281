"""Segments."""

from shared.migrations import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Tables."""
    run_sql("SELECT 1")
