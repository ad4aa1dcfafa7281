"""What merges by rule and similarity need."""

import msgspec
import sqlalchemy as sa
from alembic import op

from shared.migrations import run_sql

revision = "0009"
down_revision = "0008"

_TABLES = """
-- By which rule a merge was made; of one that somebody made there is no row.
CREATE TABLE merge_rules (
    merge_id text PRIMARY KEY,
    policy_version integer NOT NULL,
    verified text[] NOT NULL
);
ALTER TABLE identifiers ADD COLUMN verified boolean NOT NULL DEFAULT false;

-- A queue: whose file or group changed. Without a key of its own, so that two transactions never wait for each other.
CREATE TABLE match_marks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id text NOT NULL
);
-- What a person is compared by: keyed digests, 8 bytes each, of addresses (verified or not), of birthday and initial,
-- and of the words of his name. Under the id that answers for him alone.
CREATE TABLE match_keys (
    kind text NOT NULL,
    key bigint NOT NULL,
    customer_id text NOT NULL,
    verified boolean NOT NULL,
    PRIMARY KEY (kind, key, customer_id) INCLUDE (verified)
);
CREATE INDEX match_keys_customer ON match_keys (customer_id);
-- Addresses that too many have.
CREATE TABLE crowded_keys (
    kind text NOT NULL,
    key bigint NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE TABLE duplicate_pairs (
    first_id text NOT NULL,
    second_id text NOT NULL,
    score integer NOT NULL,
    evidence jsonb NOT NULL,
    policy_version integer NOT NULL,
    -- Still to be looked at by the rules of merging.
    by_rule boolean NOT NULL,
    PRIMARY KEY (first_id, second_id),
    CHECK (first_id < second_id)
);
CREATE INDEX duplicate_pairs_second ON duplicate_pairs (second_id);
CREATE INDEX duplicate_pairs_best ON duplicate_pairs (score DESC, first_id, second_id);
CREATE INDEX rejected_duplicates_second ON rejected_duplicates (second_id);
CREATE INDEX duplicate_pairs_by_rule ON duplicate_pairs (first_id, second_id) WHERE by_rule;

CREATE FUNCTION mark_match() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO match_marks (customer_id) SELECT customer_id FROM changed WHERE NOT bare;
    RETURN NULL;
END $$;
CREATE FUNCTION mark_match_joined() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO match_marks (customer_id) SELECT customer_id FROM changed UNION SELECT survivor_id FROM changed;
    RETURN NULL;
END $$;
"""
_TRIGGERS = [
    ("customers", "INSERT", "mark_match"),
    ("customers", "UPDATE", "mark_match"),
    ("customers", "DELETE", "mark_match"),
    ("survivors", "INSERT", "mark_match_joined"),
    ("survivors", "UPDATE", "mark_match_joined"),
    ("survivors", "DELETE", "mark_match_joined"),
]
_POLICIES = {
    "merging": {"on": True, "kinds": ["email", "phone", "member-number", "card"]},
    "similarity": {
        "weights": {"email": 60, "phone": 50, "messaging": 50, "post": 25, "name": 30, "birthday": 25},
        "other_birthday": 20,
        "suggest": 50,
        "similar": 80,
        "crowd": 5,
        "block": 20,
    },
}
_MARK_ALL = "INSERT INTO match_marks (customer_id) SELECT customer_id FROM customers WHERE NOT bare"


def upgrade() -> None:
    """Tables, the marks that keep them up to date, and the first policies of who is suggested and who is joined."""
    run_sql(_TABLES)
    for table, change, function in _TRIGGERS:
        changed = "OLD" if change == "DELETE" else "NEW"
        run_sql(
            f"CREATE TRIGGER {table}_{change.lower()}_match AFTER {change} ON {table} "
            f"REFERENCING {changed} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )
    run_sql(_MARK_ALL)
    seed = sa.text("INSERT INTO policies (name, version, body) VALUES (:name, 1, CAST(:body AS jsonb))")
    rows = [{"name": name, "body": msgspec.json.encode(body).decode()} for name, body in _POLICIES.items()]
    op.get_bind().execute(seed, rows)
