"""Points near their expiry: what customers were told of it."""

from shared.migrations import run_sql

revision = "0016"
down_revision = "0015"

# `day`: of the house, on which the points expire. Gone when it has passed.
TOLD = """
CREATE TABLE expiry_warnings (
    day date NOT NULL,
    account_id bigint NOT NULL,
    points bigint NOT NULL CHECK (points > 0),
    told_at timestamptz NOT NULL,
    PRIMARY KEY (day, account_id)
);
"""
# What expires on a day, a piece at a time even where all does at one instant, and what does next. A purchase's lot
# enters it with its release, which writes `due_at` anyway.
EXPIRING = """
CREATE INDEX lots_expiring ON lots (due_at, account_id) WHERE posted_in = 'available' AND due_at IS NOT NULL;
"""


def upgrade() -> None:
    """A table, an index."""
    run_sql(TOLD, EXPIRING)
