"""The class that time alone will make of a placement, so that a move that was due is told from what was loaded."""

from shared.migrations import run_sql

revision = "0023"
down_revision = "0022"

_COLUMN = """
-- The class from next_transition_at on if nothing happens; NULL: none, or not known, as of those placed before this.
ALTER TABLE placements ADD COLUMN next_class text;
"""


def upgrade() -> None:
    """A column."""
    run_sql(_COLUMN)
