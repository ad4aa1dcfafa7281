"""Merges and which ids they join."""

from shared.messaging.merges import MERGES_V1
from shared.migrations import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Two tables."""
    run_sql(MERGES_V1)
