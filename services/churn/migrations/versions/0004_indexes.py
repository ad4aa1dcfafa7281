"""By which an erasure finds the idempotency keys of a person."""

from shared.migrations import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """An index."""
    run_sql("CREATE INDEX idempotency_keys_resource ON idempotency_keys (resource_id)")
