"""What customers share: budgets and caps of the whole programme, and what each order was granted of them."""

from shared.migrations import run_sql

revision = "0008"
down_revision = "0007"

# `rule` is a rule's id, or `/budget`; `period` the name of a calendar period of the house's zone. `given` is the sum of
# what the pool's grants have; whoever changes it holds its row's lock.
POOLS = """
CREATE TABLE pools (
    rule text NOT NULL,
    period text NOT NULL,
    given bigint NOT NULL CHECK (given >= 0),
    PRIMARY KEY (rule, period)
) WITH (fillfactor = 50);
"""

# What an order asked for and was granted when it was judged first, and has now: returns give back.
GRANTS = """
CREATE TABLE pool_grants (
    order_id text NOT NULL,
    rule text NOT NULL,
    period text NOT NULL,
    asked bigint NOT NULL,
    granted bigint NOT NULL,
    used bigint NOT NULL,
    PRIMARY KEY (order_id, rule),
    CHECK (0 <= used AND used <= granted AND granted <= asked)
) WITH (fillfactor = 80);
"""


def upgrade() -> None:
    """Two tables."""
    run_sql(POOLS, GRANTS)
