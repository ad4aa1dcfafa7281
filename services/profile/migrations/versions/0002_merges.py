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
CREATE TABLE identifiers (
    identifier_id text PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customers ON DELETE CASCADE,
    kind text NOT NULL,
    value text NOT NULL,
    recorded_at timestamptz NOT NULL,
    UNIQUE (kind, value)
);
CREATE INDEX identifiers_customer ON identifiers (customer_id, identifier_id);
-- Pairs that somebody has looked at and found to be two.
CREATE TABLE rejected_duplicates (
    first_id text NOT NULL,
    second_id text NOT NULL,
    rejected_by text NOT NULL,
    rejected_at timestamptz NOT NULL,
    PRIMARY KEY (first_id, second_id)
);
"""


def upgrade() -> None:
    """What every service keeps of merges; here also when each version happened, who took it in, and who is two."""
    run_sql(MERGES_V1, _TABLES)
