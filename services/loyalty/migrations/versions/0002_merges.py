"""Merges, which ids they join, and the accounts that one answers for."""

from shared.messaging.merges import MERGES_V1
from shared.migrations import run_sql

revision = "0002"
down_revision = "0001"

# Few accounts are joined to another.
GROUPS = """
CREATE INDEX accounts_survivor ON accounts (survivor_account_id) WHERE survivor_account_id IS NOT NULL;
"""


def upgrade() -> None:
    """Two tables, and an index."""
    run_sql(MERGES_V1, GROUPS)
