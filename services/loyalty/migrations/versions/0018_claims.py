"""Orders that name coupons."""

from shared.migrations import run_sql

revision = "0018"
down_revision = "0017"

# One row a coupon and an order that has named its code, in whichever version, or that a till gave the coupon back for.
# `stands`: the order names it and counts. `given`: the coupon is this order's. `reserved_until`: where that is beyond
# the coupon's end.
CLAIMS = """
CREATE TABLE coupon_claims (
    coupon_id text NOT NULL,
    order_id text NOT NULL,
    customer_id text,
    occurred_at timestamptz,
    stands boolean NOT NULL,
    backfill boolean NOT NULL,
    waived_at timestamptz,
    reserved_until timestamptz,
    given boolean NOT NULL,
    told boolean NOT NULL,
    conflict text,
    PRIMARY KEY (coupon_id, order_id),
    CHECK ((customer_id IS NULL) = (occurred_at IS NULL)),
    CHECK (NOT stands OR occurred_at IS NOT NULL),
    CHECK (NOT given OR stands),
    CHECK (conflict IS NULL OR stands AND NOT given)
) WITH (fillfactor = 80);
-- What an order has named, and what a person's orders have.
CREATE INDEX coupon_claims_order ON coupon_claims (order_id);
CREATE INDEX coupon_claims_customer ON coupon_claims (customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX coupon_claims_conflicts ON coupon_claims (occurred_at DESC, coupon_id DESC, order_id DESC)
    WHERE conflict IS NOT NULL;
-- What a till used, or keeps, for an order that is cancelled or comes back.
CREATE INDEX coupons_order ON coupons (order_id) WHERE order_id IS NOT NULL;
"""
# An order of before may be heard of after: what isn't used by it any more is void again.
VOIDED = """
ALTER TABLE coupons ADD COLUMN voided_at timestamptz;
UPDATE coupons SET voided_at = state_at WHERE state = 'voided';
ALTER TABLE coupons ADD CONSTRAINT coupons_voided CHECK (state <> 'voided' OR voided_at IS NOT NULL);
"""


def upgrade() -> None:
    """A table, a column."""
    run_sql(CLAIMS, VOIDED)
