"""By which an erasure and an export find what is one person's."""

from shared.migrations import run_sql

revision = "0012"
down_revision = "0011"

_INDEXES = """
CREATE INDEX contacts_customer ON contacts (customer_id, contact_id);
CREATE INDEX idempotency_keys_resource ON idempotency_keys (resource_id);
"""


def upgrade() -> None:
    """Two indexes."""
    run_sql(_INDEXES)
