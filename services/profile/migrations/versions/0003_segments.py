"""Segments: where every customer stands, since when, and whose place must be looked at again."""

import msgspec
import sqlalchemy as sa
from alembic import op

from shared.migrations import role, run_sql

revision = "0003"
down_revision = "0002"

_TABLES = """
CREATE TABLE segments (
    name text NOT NULL,
    version integer NOT NULL,
    title text,
    rule jsonb NOT NULL,
    -- Whether the rule asks for points, tier or risk, which change often.
    reads_standing boolean NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE placements (
    customer_id text NOT NULL,
    segment text NOT NULL,
    class text NOT NULL,
    since timestamptz NOT NULL,
    rule_version integer NOT NULL,
    next_transition_at timestamptz,
    inputs jsonb NOT NULL,
    PRIMARY KEY (customer_id, segment)
) WITH (fillfactor = 80);
CREATE INDEX placements_members ON placements (segment, class, customer_id);
CREATE INDEX placements_next ON placements (next_transition_at) WHERE next_transition_at IS NOT NULL;

CREATE TABLE placement_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id text NOT NULL,
    segment text NOT NULL,
    from_class text,
    to_class text,
    at timestamptz NOT NULL,
    rule_version integer NOT NULL,
    cause text NOT NULL,
    inputs jsonb NOT NULL
);
CREATE INDEX placement_history_as_of ON placement_history (customer_id, segment, at DESC, id DESC);

-- A queue: who is to be placed again. Without a key of its own, so that two transactions never wait for each other.
CREATE TABLE placement_marks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id text NOT NULL,
    cause text NOT NULL DEFAULT 'event',
    backfill boolean NOT NULL DEFAULT false,
    -- Which transaction marked him: silent is one in which nothing but history was loaded for him.
    marked_by xid8 NOT NULL DEFAULT pg_current_xact_id()
);

-- A rule that changed, and how far everybody has been placed again by it.
CREATE TABLE replacements (
    segment text PRIMARY KEY,
    after text NOT NULL,
    placed integer NOT NULL,
    moved integer NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz
);
"""
# Whatever changes what a rule reads marks its customer, whoever writes it, within the statement that writes.
_MARKS = """
CREATE FUNCTION mark_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO placement_marks (customer_id) SELECT customer_id FROM changed;
    RETURN NULL;
END $$;
CREATE FUNCTION mark_standing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM segments WHERE reads_standing) THEN
        INSERT INTO placement_marks (customer_id) SELECT customer_id FROM changed;
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION mark_joined() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO placement_marks (customer_id, cause)
    SELECT customer_id, 'merge' FROM changed UNION SELECT survivor_id, 'merge' FROM changed;
    RETURN NULL;
END $$;
"""
_TRIGGERS = [
    ("customers", "INSERT", "mark_changed"),
    ("customers", "UPDATE", "mark_changed"),
    ("purchase_states", "UPDATE", "mark_changed"),
    ("standings", "INSERT", "mark_standing"),
    ("standings", "UPDATE", "mark_standing"),
    ("survivors", "INSERT", "mark_joined"),
    ("survivors", "UPDATE", "mark_joined"),
    ("survivors", "DELETE", "mark_joined"),
]
_VALUE = {
    "monthly": {"*": 50, "CNY": 300, "JPY": 7000, "TWD": 1500},
    "quarterly": {"*": 150, "CNY": 900, "JPY": 21000, "TWD": 4500},
    "order": {"*": 40, "CNY": 250, "JPY": 6000, "TWD": 1200},
    "volumes_reached": 2,
    "stable_purchase_days": 4,
    "stable_gap_days": 60,
    "expected": {"*": 50, "CNY": 300, "JPY": 7000, "TWD": 1500},
    "intent": {"inquiry": 3, "trial-started": 3, "add-to-cart": 2, "content-read": 1, "view-category": 1},
    "intent_days": 30,
    "intent_reached": 3,
}
# Those who were here before are placed in silence: nothing has happened to them.
_PLACE_ALL = "INSERT INTO placement_marks (customer_id, backfill) SELECT customer_id, true FROM customers"


def upgrade() -> None:
    """Tables, the marks that keep them up to date, and the first rule of the classes of value."""
    run_sql(_TABLES, _MARKS)
    for table, change, function in _TRIGGERS:
        rows = "OLD" if change == "DELETE" else "NEW"
        run_sql(
            f"CREATE TRIGGER {table}_{change.lower()}_marks AFTER {change} ON {table} "
            f"REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )
    # No UPDATE: what was true stays. An erasure must be able to delete.
    run_sql(f'REVOKE UPDATE, TRUNCATE ON placement_history FROM "{role()}"', _PLACE_ALL)
    seed = sa.text("INSERT INTO policies (name, version, body) VALUES ('value', 1, CAST(:body AS jsonb))")
    op.get_bind().execute(seed, {"body": msgspec.json.encode(_VALUE).decode()})
