"""Who brought whom."""

from shared.migrations import run_sql

revision = "0013"
down_revision = "0012"

# A customer has one. An erasure deletes it.
CODES = """
CREATE TABLE referral_codes (
    code text PRIMARY KEY,
    customer_id text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL
);
"""

# One row an order that came with a code, whatever becomes of it. `verdict`: what its own facts say against it; `edge`:
# it is its customer's first and somebody else's code, so that loops are found along it. `generation`: how often it gave
# points; `granted`: they are given and not withdrawn.
REFERRALS = """
CREATE TABLE referrals (
    order_id text PRIMARY KEY,
    referral_id text UNIQUE,
    code text,
    referee_id text NOT NULL,
    referrer_id text,
    ordered_at timestamptz NOT NULL,
    qualifies_at timestamptz,
    programme_version integer,
    edge boolean NOT NULL DEFAULT false CHECK (NOT edge OR referrer_id IS NOT NULL),
    verdict text,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'qualified', 'refused')),
    reason text,
    qualified_at timestamptz,
    generation integer NOT NULL DEFAULT 0 CHECK (generation >= 0),
    granted boolean NOT NULL DEFAULT false CHECK (NOT granted OR generation > 0),
    referrer_points bigint NOT NULL DEFAULT 0 CHECK (referrer_points >= 0),
    referee_points bigint NOT NULL DEFAULT 0 CHECK (referee_points >= 0),
    due_at timestamptz,
    CHECK ((state = 'refused') = (reason IS NOT NULL))
);
-- What the job looks at next.
CREATE INDEX referrals_due ON referrals (due_at, order_id) WHERE due_at IS NOT NULL;
-- A person's, as referee and as referrer.
CREATE INDEX referrals_referee ON referrals (referee_id);
CREATE INDEX referrals_referrer ON referrals (referrer_id, ordered_at) WHERE referrer_id IS NOT NULL;
-- Those that wait for a code that nobody had.
CREATE INDEX referrals_unknown ON referrals (code) WHERE referrer_id IS NULL AND code IS NOT NULL;
-- Key figures of a period.
CREATE INDEX referrals_ordered ON referrals (ordered_at);
CREATE INDEX referrals_loops ON referrals (order_id) WHERE verdict = 'loop';
"""


def upgrade() -> None:
    """Two tables."""
    run_sql(CODES, REFERRALS)
