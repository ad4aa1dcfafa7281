"""The file's provenance, notes and contact persons."""

from shared.migrations import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Tables."""
    run_sql("SELECT 1")
