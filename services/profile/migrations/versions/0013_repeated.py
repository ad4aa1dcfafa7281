"""What an import said that stood already: it stays when whoever said it first is taken back."""

from shared.migrations import run_sql

revision = "0013"
down_revision = "0012"

# A part of the file -> since when it stood. Of whom an import has repeated all, nothing of it is to be taken back.
_COLUMNS = """
ALTER TABLE import_customers ADD COLUMN repeated jsonb, ADD COLUMN repeats_only boolean NOT NULL DEFAULT false;
"""


def upgrade() -> None:
    """Two columns."""
    run_sql(_COLUMNS)
