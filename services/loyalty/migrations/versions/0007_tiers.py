"""Falls of tiers that customers were warned of; enrolments and the terms that they were for."""

from shared.migrations import run_sql

revision = "0007"
down_revision = "0006"

# The days, of the house, of falls to come that were told: each once, also where the fall moves away and back.
WARNED = "ALTER TABLE tiers ADD COLUMN warned_for date[] NOT NULL DEFAULT '{}';"

# Of an account one is open at a time. Terms name nobody without their enrolment, which an erasure takes away.
ENROLMENTS = """
CREATE SEQUENCE member_numbers START WITH 1000001;
CREATE TABLE enrolments (
    enrolment_id text PRIMARY KEY,
    account_id bigint NOT NULL,
    member_number text NOT NULL UNIQUE CHECK (member_number ~ '^[0-9]{8,20}$'),
    plan text,
    enrolled_at timestamptz NOT NULL,
    cancelled_at timestamptz CHECK (cancelled_at >= enrolled_at)
);
CREATE UNIQUE INDEX enrolments_open ON enrolments (account_id) WHERE cancelled_at IS NULL;
CREATE INDEX enrolments_account ON enrolments (account_id);

CREATE TABLE enrolment_terms (
    enrolment_id text NOT NULL,
    term integer NOT NULL CHECK (term >= 1),
    since timestamptz NOT NULL,
    until timestamptz CHECK (until > since),
    fee_minor bigint CHECK (fee_minor > 0),
    currency text,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (enrolment_id, term),
    CHECK ((fee_minor IS NULL) = (currency IS NULL))
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON enrolment_terms
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    """A column, two tables, a sequence."""
    run_sql(WARNED, ENROLMENTS)
