"""Merges, which ids they join, which id's risk a contact answers, and whether it counts."""

from services.engagement.contacts.store import REGROUPED_V3
from shared.messaging.merges import MERGES_V1
from shared.migrations import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Two tables and two columns."""
    run_sql(MERGES_V1, REGROUPED_V3)
