"""Marks of those whose orders were counted anew, for rules that ask for what was bought."""

from shared.migrations import run_sql

revision = "0017"
down_revision = "0016"

_COLUMNS = """
-- Whether the rule asks for orders, which are written behind the purchases.
ALTER TABLE segments ADD COLUMN reads_orders boolean NOT NULL DEFAULT false;
"""
# What a loaded order says anew is told apart from what a live one does.
_MARKS = """
CREATE FUNCTION mark_ordered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM segments WHERE reads_orders) THEN
        INSERT INTO placement_marks (customer_id, matter, backfill)
        SELECT DISTINCT customer_id, CASE WHEN backfill THEN 'loaded_orders' ELSE TG_TABLE_NAME END, backfill
        FROM changed;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER standing_orders_insert_marks AFTER INSERT ON standing_orders
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ordered();
CREATE TRIGGER standing_orders_delete_marks AFTER DELETE ON standing_orders
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_ordered();
"""


def upgrade() -> None:
    """A column, and two triggers."""
    run_sql(_COLUMNS, _MARKS)
