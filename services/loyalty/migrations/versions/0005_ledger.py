"""Points are used: lots that no order made, what was taken of lots, what is held of them, and debt."""

from shared.migrations import run_sql

revision = "0005"
down_revision = "0004"

# `posted` is what is free of a lot, in `posted_in`; with what was taken, held and paid back of it, less what is owed
# for it, it comes to `points`. An account is unsettled while its person owes points, or took some of lots not known.
LOTS = """
ALTER TABLE accounts ADD COLUMN unsettled boolean NOT NULL DEFAULT false;
ALTER TABLE lots RENAME COLUMN order_id TO source_id;
ALTER TABLE lots
    ADD COLUMN origin text NOT NULL DEFAULT 'order'
        CHECK (origin IN ('order', 'adjustment', 'compensation', 'occasion', 'gift', 'referral', 'transfer')),
    ADD COLUMN spent bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
    ADD COLUMN held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    ADD COLUMN repaid bigint NOT NULL DEFAULT 0 CHECK (repaid >= 0),
    ADD COLUMN owed bigint NOT NULL DEFAULT 0 CHECK (owed >= 0),
    DROP CONSTRAINT lots_pkey,
    ADD PRIMARY KEY (source_id, origin);
ALTER TABLE lots SET (fillfactor = 90);
-- Those of an account that something may be taken of. Without `posted`: what is used of a lot changes no index.
CREATE INDEX lots_live ON lots (account_id) WHERE posted_in <> 'expired';
"""

LEDGER = """
ALTER TABLE ledger RENAME COLUMN order_id TO source_id;
ALTER TABLE ledger ADD COLUMN origin text NOT NULL DEFAULT 'order';
ALTER TABLE ledger DROP CONSTRAINT ledger_kind_check;
ALTER TABLE ledger ADD CONSTRAINT ledger_kind_check CHECK (kind IN (
    'earned', 'reversed', 'released', 'deferred', 'expired', 'restored', 'held', 'voided', 'redeemed', 'rolled-back',
    'repaid', 'owed-again', 'owed', 'backed', 'adjusted', 'transferred'
));
"""

# `foreign_points`: of lots that aren't (any longer, or not yet) of the person who took them: he owes them.
TAKES = """
CREATE TABLE takes (
    take_id text PRIMARY KEY,
    account_id bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('redemption', 'adjustment', 'transfer')),
    points bigint NOT NULL CHECK (points >= 0),
    occurred_at timestamptz NOT NULL,
    origins text[] NOT NULL,
    source_ids text[] NOT NULL,
    portions bigint[] NOT NULL,
    foreign_points bigint NOT NULL DEFAULT 0 CHECK (foreign_points >= 0),
    rolled_back_at timestamptz,
    CHECK (cardinality(origins) = cardinality(source_ids) AND cardinality(origins) = cardinality(portions))
);
CREATE INDEX takes_account ON takes (account_id);

CREATE TABLE holds (
    hold_id text PRIMARY KEY,
    account_id bigint NOT NULL,
    points bigint NOT NULL CHECK (points >= 0),
    committed bigint NOT NULL DEFAULT 0 CHECK (committed BETWEEN 0 AND points),
    state text NOT NULL CHECK (state IN ('open', 'committed', 'voided', 'expired')),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    origins text[] NOT NULL,
    source_ids text[] NOT NULL,
    portions bigint[] NOT NULL,
    CHECK (cardinality(origins) = cardinality(source_ids) AND cardinality(origins) = cardinality(portions))
);
CREATE INDEX holds_open ON holds (account_id) WHERE state = 'open';
CREATE INDEX holds_due ON holds (expires_at) WHERE state = 'open';
"""


def upgrade() -> None:
    """Columns, two tables, indexes."""
    run_sql(LOTS, LEDGER, TAKES)
