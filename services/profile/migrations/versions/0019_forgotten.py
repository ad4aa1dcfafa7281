"""By which addresses and identifiers the erased were known, as keyed digests: what refers to them makes no new file."""

from shared.migrations import run_sql

revision = "0019"
down_revision = "0018"

_FORGOTTEN = """
CREATE TABLE forgotten (
    kind text NOT NULL,
    digest bytea NOT NULL,
    erased_at timestamptz NOT NULL,
    PRIMARY KEY (kind, digest)
);
"""


def upgrade() -> None:
    """A table."""
    run_sql(_FORGOTTEN)
