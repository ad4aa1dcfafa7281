"""Merges and which ids they join."""

from shared.messaging.merges import MERGES_V1
from shared.migrations import run_sql

revision = "0002"
down_revision = "0001"


_TABLES = """
CREATE TABLE merge_versions (
    merge_id text NOT NULL,
    version integer NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (merge_id, version)
);
CREATE TABLE merge_acknowledgements (
    merge_id text NOT NULL,
    version integer NOT NULL,
    service text NOT NULL,
    applied_at timestamptz NOT NULL,
    PRIMARY KEY (merge_id, version, service)
);
"""


def upgrade() -> None:
    """What every service keeps of merges; here also when each version happened, and who took it in."""
    run_sql(MERGES_V1, _TABLES)
