"""Backtests: what was asked, how far each has come, what it found."""

from shared.migrations import run_sql

revision = "0011"
down_revision = "0010"

# Looked at by the job every second: few are open at a time.
SIMULATIONS = """
CREATE TABLE simulations (
    simulation_id text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    asked bytea NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    known_at timestamptz,
    persons integer NOT NULL DEFAULT 0 CHECK (persons >= 0),
    done integer NOT NULL DEFAULT 0 CHECK (done >= 0),
    figures bytea,
    error text,
    CHECK ((state = 'done') = (figures IS NOT NULL)),
    CHECK ((state = 'failed') = (error IS NOT NULL))
);
CREATE INDEX simulations_open ON simulations (created_at, simulation_id) WHERE state IN ('waiting', 'running');
"""


def upgrade() -> None:
    """A table."""
    run_sql(SIMULATIONS)
