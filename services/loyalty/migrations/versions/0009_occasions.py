"""Points that no order made: by hand, from one customer to another, by occasions."""

from shared.migrations import run_sql

revision = "0009"
down_revision = "0008"

# Who decided is somebody else than who proposed; nobody, where an erasure ended it.
ADJUSTMENTS = """
CREATE TABLE adjustments (
    adjustment_id text PRIMARY KEY,
    account_id bigint NOT NULL,
    points bigint NOT NULL CHECK (points <> 0),
    reason text,
    expires_at timestamptz CHECK (expires_at IS NULL OR points > 0),
    state text NOT NULL CHECK (state IN ('proposed', 'applied', 'refused')),
    proposed_by text NOT NULL,
    proposed_at timestamptz NOT NULL,
    decided_by text CHECK (decided_by <> proposed_by),
    decided_at timestamptz,
    CHECK (state <> 'proposed' OR decided_at IS NULL)
);
-- Pages of all and of one state, the newest first.
CREATE INDEX adjustments_proposed ON adjustments (proposed_at DESC, adjustment_id DESC);
CREATE INDEX adjustments_state ON adjustments (state, proposed_at DESC, adjustment_id DESC);
-- For the export and the erasure of a person.
CREATE INDEX adjustments_account ON adjustments (account_id);
"""

TRANSFERS = """
CREATE TABLE transfers (
    transfer_id text PRIMARY KEY,
    from_account_id bigint NOT NULL,
    to_account_id bigint NOT NULL CHECK (to_account_id <> from_account_id),
    points bigint NOT NULL CHECK (points > 0),
    reason text,
    actor text NOT NULL,
    at timestamptz NOT NULL
);
-- For the export and the erasure of a person.
CREATE INDEX transfers_from ON transfers (from_account_id);
CREATE INDEX transfers_to ON transfers (to_account_id);
"""

# One row an occasion and rule that gave something on it. `token` is made of what happened with a key, so that it leads
# back to nobody; `celebrated`, the day of the year, goes with an erasure.
OCCASIONS = """
CREATE TABLE occasion_gifts (
    token text NOT NULL,
    rule text NOT NULL,
    kind text NOT NULL,
    account_id bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    day date NOT NULL,
    programme_version integer NOT NULL,
    wanted bigint NOT NULL,
    points bigint NOT NULL CHECK (points BETWEEN 0 AND wanted),
    coupon_id text,
    celebrated text,
    celebrated_year integer,
    PRIMARY KEY (token, rule)
);
-- What caps have left, and days that were given on before.
CREATE INDEX occasion_gifts_account ON occasion_gifts (account_id, rule, day);

CREATE TABLE celebrations (
    customer_id text PRIMARY KEY,
    sequence bigint NOT NULL,
    birthday text,
    zone text,
    since timestamptz,
    restricted boolean NOT NULL,
    birthday_at timestamptz,
    anniversary_at timestamptz
);
-- Who is next.
CREATE INDEX celebrations_birthday ON celebrations (birthday_at) WHERE birthday_at IS NOT NULL;
CREATE INDEX celebrations_anniversary ON celebrations (anniversary_at) WHERE anniversary_at IS NOT NULL;
"""


def upgrade() -> None:
    """Tables and indexes."""
    run_sql(ADJUSTMENTS, TRANSFERS, OCCASIONS)
