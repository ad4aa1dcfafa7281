"""Programme versions, accounts, lots, the ledger that nobody can change, tiers."""

from shared.migrations import SHARED_V1, role, run_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PROGRAMMES = """
CREATE TABLE programmes (
    version integer PRIMARY KEY,
    active_from timestamptz NOT NULL,
    posted_at timestamptz NOT NULL,
    body text NOT NULL
);
"""

# `last_at`, `orders` and `caps` are what judging the next order needs to know; `entries` and `head` end the chain.
LEDGER = """
CREATE TABLE accounts (
    account_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id text NOT NULL UNIQUE,
    survivor_account_id bigint REFERENCES accounts,
    opened_at timestamptz NOT NULL,
    last_at timestamptz,
    orders integer NOT NULL DEFAULT 0,
    caps bytea NOT NULL DEFAULT '{}',
    entries integer NOT NULL DEFAULT 0,
    head bytea NOT NULL DEFAULT ''
) WITH (fillfactor = 80);

CREATE TABLE lots (
    order_id text PRIMARY KEY,
    account_id bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    currency text NOT NULL,
    net_minor bigint NOT NULL,
    points bigint NOT NULL CHECK (points >= 0),
    reversed bigint NOT NULL CHECK (reversed >= 0),
    programme_version integer,
    judged_with integer NOT NULL,
    available_from timestamptz NOT NULL,
    expires_at timestamptz,
    posted bigint NOT NULL CHECK (posted >= 0),
    posted_in text NOT NULL CHECK (posted_in IN ('pending', 'available', 'expired')),
    due_at timestamptz
);
CREATE INDEX lots_account ON lots (account_id, occurred_at);
CREATE INDEX lots_due ON lots (due_at) WHERE due_at IS NOT NULL;

-- No foreign keys: they would cost a look-up a row, and verification finds what they would refuse.
CREATE TABLE ledger (
    account_id bigint NOT NULL,
    seq integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('earned', 'reversed', 'released', 'deferred', 'expired', 'restored')),
    debit text NOT NULL,
    credit text NOT NULL,
    points bigint NOT NULL CHECK (points > 0),
    order_id text NOT NULL,
    programme_version integer,
    occurred_at timestamptz NOT NULL,
    known_at timestamptz NOT NULL,
    cause_source text NOT NULL,
    cause_id text NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (account_id, seq),
    CHECK (debit <> credit)
);
"""

TIERS = """
CREATE TABLE tiers (
    account_id bigint PRIMARY KEY,
    tier text,
    due_at timestamptz
) WITH (fillfactor = 80);
CREATE INDEX tiers_due ON tiers (due_at) WHERE due_at IS NOT NULL;

-- How far everybody has been judged anew since a version came into force.
CREATE TABLE tier_passes (
    version integer PRIMARY KEY,
    last_account_id bigint NOT NULL,
    done boolean NOT NULL
);
"""

# By statement, so that an insert pays nothing and even a statement that touches no row is refused.
APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON programmes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

REVOKED = """
DO $$
BEGIN
    IF '{role}' <> current_user THEN
        REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON ledger, programmes FROM "{role}";
    END IF;
END $$;
"""


def upgrade() -> None:
    run_sql(*SHARED_V1, PROGRAMMES, LEDGER, TIERS, APPEND_ONLY)
    name = role()
    run_sql(REVOKED.replace("'{role}'", "'" + name.replace("'", "''") + "'").replace("{role}", name.replace('"', '""')))
