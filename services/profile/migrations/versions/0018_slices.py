"""Targets and reports of a segment or an owner, beside those of everybody, whose both names are empty."""

from shared.migrations import run_sql

revision = "0018"
down_revision = "0017"

_SLICES = """
ALTER TABLE kpi_targets
    ADD COLUMN segment text NOT NULL DEFAULT '', ADD COLUMN owner text NOT NULL DEFAULT '',
    DROP CONSTRAINT kpi_targets_pkey,
    ADD PRIMARY KEY (kpi, period_from, period_to, segment, owner, version);
ALTER TABLE kpi_reports
    ADD COLUMN segment text NOT NULL DEFAULT '', ADD COLUMN owner text NOT NULL DEFAULT '',
    DROP CONSTRAINT kpi_reports_pkey,
    ADD PRIMARY KEY (kpi, period_from, period_to, segment, owner);
CREATE INDEX kpi_targets_slices ON kpi_targets (period_from, period_to) WHERE segment <> '' OR owner <> '';
"""


def upgrade() -> None:
    """Two columns each, in the keys."""
    run_sql(_SLICES)
