"""By which an erasure finds what is one person's."""

from shared.migrations import run_sql

revision = "0005"
down_revision = "0004"

_INDEXES = """
CREATE INDEX tasks_customer ON tasks (customer_id);
CREATE INDEX idempotency_keys_resource ON idempotency_keys (resource_id);
"""


def upgrade() -> None:
    """Two indexes."""
    run_sql(_INDEXES)
