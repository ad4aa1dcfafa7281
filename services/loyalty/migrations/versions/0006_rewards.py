"""What points are taken for, who took it, coupons, and the segments that both may ask for."""

from shared.migrations import role, run_sql

revision = "0006"
down_revision = "0005"

# `stock` is all there ever was to give, `stock_left` what of it nobody took; both null where there is no end to it.
REWARDS = """
CREATE TABLE rewards (
    reward_id text PRIMARY KEY,
    version integer NOT NULL CHECK (version > 0),
    active boolean NOT NULL,
    stock integer CHECK (stock >= 0),
    stock_left integer CHECK (stock_left BETWEEN 0 AND stock),
    created_at timestamptz NOT NULL,
    CHECK ((stock IS NULL) = (stock_left IS NULL))
) WITH (fillfactor = 80);

-- What a customer took, he took as the version had it.
CREATE TABLE reward_versions (
    reward_id text NOT NULL,
    version integer NOT NULL,
    posted_at timestamptz NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (reward_id, version)
);

-- Kept by whoever redeems: `use_id` is his. `lapses_at`: an open hold is as none from then on.
CREATE TABLE reward_uses (
    use_id text PRIMARY KEY,
    reward_id text NOT NULL,
    version integer NOT NULL,
    account_id bigint NOT NULL,
    at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('reserved', 'settled', 'released')),
    lapses_at timestamptz,
    of_stock boolean NOT NULL,
    CHECK ((state = 'reserved') = (lapses_at IS NOT NULL))
) WITH (fillfactor = 80);
-- How often a person has taken a reward in a period.
CREATE INDEX reward_uses_account ON reward_uses (account_id, reward_id, at) WHERE state <> 'released';
-- What open holds that nobody swept have of the stock.
CREATE INDEX reward_uses_lapsing ON reward_uses (reward_id, lapses_at) WHERE state = 'reserved' AND of_stock;
"""

# The code is what its customer shows at the till: it can't be kept as a digest alone. The erased have none.
COUPONS = """
CREATE TABLE coupons (
    coupon_id text PRIMARY KEY,
    code text UNIQUE,
    customer_id text NOT NULL,
    bearer boolean NOT NULL,
    percent text,
    discount_minor bigint CHECK (discount_minor > 0),
    min_spend_minor bigint CHECK (min_spend_minor > 0),
    currency text,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('issued', 'reserved', 'redeemed', 'expired', 'voided')),
    state_at timestamptz NOT NULL,
    due_at timestamptz,
    order_id text,
    redeemed_by text,
    redemption_id text,
    batch_id text,
    CHECK ((percent IS NULL) <> (discount_minor IS NULL)),
    CHECK ((currency IS NULL) = (discount_minor IS NULL AND min_spend_minor IS NULL)),
    CHECK ((due_at IS NOT NULL) = (state IN ('issued', 'reserved'))),
    CHECK (redeemed_by IS NULL OR state = 'redeemed')
) WITH (fillfactor = 80);
CREATE INDEX coupons_customer ON coupons (customer_id, issued_at DESC, coupon_id DESC);
CREATE INDEX coupons_redeemed_by ON coupons (redeemed_by) WHERE redeemed_by IS NOT NULL;
CREATE INDEX coupons_batch ON coupons (batch_id, coupon_id) WHERE batch_id IS NOT NULL;
CREATE UNIQUE INDEX coupons_redemption ON coupons (redemption_id) WHERE redemption_id IS NOT NULL;
-- What the sweep finds: coupons that expire, reservations that end.
CREATE INDEX coupons_due ON coupons (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE coupon_batches (
    batch_id text PRIMARY KEY,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    coupons integer NOT NULL CHECK (coupons > 0),
    reason text NOT NULL,
    body text NOT NULL
);
"""

# Those whom a customer has left stand with the class `out`: what is told late must not bring him back.
SEGMENTS = """
CREATE TABLE customer_segments (
    customer_id text NOT NULL,
    segment text NOT NULL,
    class text NOT NULL,
    sequence bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, segment)
) WITH (fillfactor = 80);
CREATE INDEX customer_segments_members ON customer_segments (segment, class, customer_id) WHERE class <> 'out';
"""

APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reward_versions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""
REVOKED = """
DO $$
BEGIN
    IF '{role}' <> current_user THEN
        REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON reward_versions FROM "{role}";
    END IF;
END $$;
"""


def upgrade() -> None:
    """Six tables."""
    run_sql(REWARDS, COUPONS, SEGMENTS, APPEND_ONLY)
    name = role()
    run_sql(REVOKED.replace("'{role}'", "'" + name.replace("'", "''") + "'").replace("{role}", name.replace('"', '""')))
