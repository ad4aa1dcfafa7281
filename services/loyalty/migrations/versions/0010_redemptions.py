"""What points were asked for, and what they were used for."""

from shared.migrations import run_sql

revision = "0010"
down_revision = "0009"

# What a quote says holds until `expires_at`; one hold is made of it at the most, whose id is the quote's.
REDEMPTIONS = """
CREATE TABLE quotes (
    quote_id text PRIMARY KEY,
    account_id bigint NOT NULL,
    reward_id text,
    reward_version integer,
    points bigint NOT NULL CHECK (points >= 0),
    price jsonb,
    order_id text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX quotes_account ON quotes (account_id);

CREATE TABLE redemptions (
    redemption_id text PRIMARY KEY,
    account_id bigint NOT NULL,
    hold_id text,
    reward_id text,
    reward_version integer,
    points bigint NOT NULL CHECK (points >= 0),
    price jsonb,
    order_id text,
    coupon_id text,
    redeemed_at timestamptz NOT NULL,
    rolled_back_at timestamptz,
    rolled_back_because text,
    fulfilment text CHECK (fulfilment IN ('open', 'sent', 'done', 'failed')),
    fulfilment_at timestamptz,
    due_at timestamptz,
    overdue_told_at timestamptz
);
-- A person's, the newest first.
CREATE INDEX redemptions_account ON redemptions (account_id, redeemed_at DESC, redemption_id DESC);
CREATE INDEX redemptions_hold ON redemptions (hold_id) WHERE hold_id IS NOT NULL;
-- What is to be told as overdue.
CREATE INDEX redemptions_overdue ON redemptions (due_at)
    WHERE due_at IS NOT NULL AND overdue_told_at IS NULL AND rolled_back_at IS NULL AND fulfilment IN ('open', 'sent');
"""


def upgrade() -> None:
    """Two tables."""
    run_sql(REDEMPTIONS)
