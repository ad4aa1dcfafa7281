"""When a customer was planned last."""

from services.engagement.customers.store import PLANNED_AT_V2
from shared.migrations import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """A column."""
    run_sql(PLANNED_AT_V2)
