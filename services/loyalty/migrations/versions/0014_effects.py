"""What a rule or a reward has brought, against those who were left out of it."""

from shared.migrations import run_sql

revision = "0014"
down_revision = "0013"

# What is measured: nothing of it changes, the figures are made when they are asked for.
EFFECTS = """
CREATE TABLE effects (
    effect_id text PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('rule', 'reward')),
    target text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL CHECK (until > since),
    holdout_percent integer NOT NULL CHECK (holdout_percent BETWEEN 1 AND 50),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    """A table."""
    run_sql(EFFECTS)
