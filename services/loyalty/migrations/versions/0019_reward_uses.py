"""Uses of a reward in their time: what of its stock was taken, and what its treated took while its effect is measured."""

from shared.migrations import run_sql

revision = "0019"
down_revision = "0018"

USES = "CREATE INDEX reward_uses_reward ON reward_uses (reward_id, at) WHERE state <> 'released'"


def upgrade() -> None:
    """An index."""
    run_sql(USES)
