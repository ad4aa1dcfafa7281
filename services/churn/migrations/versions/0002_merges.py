"""Merges, which ids they join, and who is answered for by another id."""

from shared.messaging.merges import MERGES_V1
from shared.migrations import run_sql

revision = "0002"
down_revision = "0001"

# Beside the band, which stays as it was: after an undo he is judged from there.
_JOINED = "ALTER TABLE customers ADD COLUMN joined boolean NOT NULL DEFAULT false"


def upgrade() -> None:
    """Two tables and a column."""
    run_sql(MERGES_V1, _JOINED)
