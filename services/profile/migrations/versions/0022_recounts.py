"""Whether what made an order stale was loaded: marks come from the counting, which knows, and no more from triggers."""

from shared.migrations import run_sql

revision = "0022"
down_revision = "0021"

_LOADED = """
-- Of whoever counts: all that was recorded of the order since it was counted is loaded. NULL: nothing was recorded.
ALTER TABLE stale_orders ADD COLUMN loaded boolean;
"""
_MARKS = """
DROP TRIGGER standing_orders_insert_marks ON standing_orders;
DROP TRIGGER standing_orders_delete_marks ON standing_orders;
DROP FUNCTION mark_ordered();
"""


def upgrade() -> None:
    """A column, and no more triggers."""
    run_sql(_LOADED, _MARKS)
