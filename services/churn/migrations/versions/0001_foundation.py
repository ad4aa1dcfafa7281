"""Customers with their statistics and bands, crossings, scorings, models and policies, each with its first version."""

from shared.migrations import SHARED_V1, run_sql

revision = "0001"
down_revision = None

_TABLES = """
-- The C collation sorts as Python does: the order of locks is the same on both sides.
-- Rewritten at every purchase: room in the page keeps the new version beside the old, off the indexes.
CREATE TABLE customers (
    customer_id text COLLATE "C" PRIMARY KEY,
    statistics bytea NOT NULL DEFAULT '{}',
    n_occasions integer NOT NULL DEFAULT 0,
    first_day integer NOT NULL DEFAULT 0,
    last_day integer NOT NULL DEFAULT 0,
    n_valued integer NOT NULL DEFAULT 0,
    net_minor bigint NOT NULL DEFAULT 0,
    band smallint NOT NULL DEFAULT 0 CHECK (band BETWEEN 0 AND 2),
    published double precision,
    probability double precision,
    value_at_risk bigint,
    model_version text,
    scored_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX customers_by_value_at_risk ON customers (value_at_risk DESC, customer_id) WHERE band > 0;
CREATE INDEX customers_by_probability ON customers (probability DESC, customer_id) WHERE band > 0;

CREATE TABLE crossings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id text NOT NULL,
    crossed_at timestamptz NOT NULL,
    from_band smallint NOT NULL,
    to_band smallint NOT NULL,
    cause text NOT NULL CHECK (cause IN ('purchase', 'rescored')),
    probability double precision NOT NULL,
    model_version text NOT NULL
);
CREATE INDEX crossings_customer ON crossings (customer_id, id DESC);

CREATE TABLE scorings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scored_at timestamptz NOT NULL,
    model_version text NOT NULL,
    policy_version integer NOT NULL,
    customers bigint NOT NULL,
    published bigint NOT NULL,
    raised bigint NOT NULL,
    lowered bigint NOT NULL
);

CREATE TABLE models (
    id integer PRIMARY KEY,
    version text NOT NULL UNIQUE,
    params text NOT NULL,
    purchase_value text,
    evaluation text,
    status text NOT NULL CHECK (status IN ('active', 'candidate', 'retired')),
    trained_at timestamptz
);
CREATE UNIQUE INDEX models_active ON models (status) WHERE status = 'active';

CREATE TABLE policies (
    version integer PRIMARY KEY,
    body text NOT NULL,
    created_at timestamptz
);
"""

# CDNOW's published MBG/NBD in days: what churn scores by until the first fit.
_FIRST = """
INSERT INTO models (id, version, params, status) VALUES (1, 'prior-1',
    '{"kind":"mbg-nbd","r":0.5248,"alpha":43.281,"a":0.8914,"b":1.614,"log_likelihood":-14363.23,"n":2357,'
    '"converged":true}',
    'active');
INSERT INTO policies (version, body) VALUES (1,
    '{"horizon_days":90,"at_risk_enter":0.6,"at_risk_leave":0.5,"critical_enter":0.85,"critical_leave":0.75,'
    '"publishing_step":0.05,"min_purchases":1,"min_silence_days":14}');
"""


def upgrade() -> None:
    run_sql(*SHARED_V1, _TABLES, _FIRST)
