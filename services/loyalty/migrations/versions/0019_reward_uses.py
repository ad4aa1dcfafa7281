"""Uses of a reward in their time: for what was taken of its stock, and for what it has brought."""

from shared.migrations import run_sql

revision = "0019"
down_revision = "0018"

USES = "CREATE INDEX reward_uses_reward ON reward_uses (reward_id, at) WHERE state <> 'released'"


def upgrade() -> None:
    """An index."""
    run_sql(USES)
