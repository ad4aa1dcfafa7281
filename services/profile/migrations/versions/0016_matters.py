"""What a mark is of, so that the live and the loaded of a transaction are told apart; how far rhythms were watched."""

from shared.migrations import run_sql

revision = "0016"
down_revision = "0015"

# A mark of a table's own trigger names the table; where what was written there is of loaded history alone, another mark
# of the same table and transaction says so.
_MATTERS = """
ALTER TABLE placement_marks ADD COLUMN matter text NOT NULL DEFAULT 'elsewhere';
CREATE OR REPLACE FUNCTION mark_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO placement_marks (customer_id, matter) SELECT customer_id, TG_TABLE_NAME FROM changed;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION mark_standing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM segments WHERE reads_standing) THEN
        INSERT INTO placement_marks (customer_id, matter) SELECT customer_id, TG_TABLE_NAME FROM changed;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION mark_contact() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM segments WHERE reads_contacts) THEN
        INSERT INTO placement_marks (customer_id, matter) SELECT customer_id, TG_TABLE_NAME FROM changed;
    END IF;
    RETURN NULL;
END $$;
"""
# The first transaction whose facts no watch over rhythms has seen: history of later ones has been loaded since.
_WATCHED = "ALTER TABLE counting ADD COLUMN watched_to bigint NOT NULL DEFAULT 0"


def upgrade() -> None:
    """A column of the marks, the triggers that fill it, and a column of the counting."""
    run_sql(_MATTERS, _WATCHED)
