"""Files to be verified: when each is looked at, and one open task a customer."""

from services.engagement.customers.store import VERIFY_V6
from services.engagement.tasks.store import VERIFY_FILE_V6
from shared.migrations import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """A column, and the indexes of what is due and of what is open."""
    run_sql(VERIFY_V6, VERIFY_FILE_V6)
