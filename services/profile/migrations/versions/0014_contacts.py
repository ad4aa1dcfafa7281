"""When a contact was sent, and marks of those whose contacts changed, for rules that ask."""

from shared.migrations import run_sql

revision = "0014"
down_revision = "0013"

_COLUMNS = """
ALTER TABLE contacts ADD COLUMN sent_at timestamptz;
-- Whether the rule asks for contacts, which change often.
ALTER TABLE segments ADD COLUMN reads_contacts boolean NOT NULL DEFAULT false;
"""
# Those sent before: each by the fact that was its last word.
SENT = """
UPDATE contacts AS c SET sent_at = f.occurred_at
FROM (SELECT occurred_at, CAST(convert_from(body, 'UTF8') AS jsonb) AS data
      FROM facts WHERE kind = 'contact-sent') AS f
WHERE c.status = 'sent' AND c.contact_id = f.data ->> 'contact_id'
  AND c.sequence = CAST(f.data ->> 'sequence' AS bigint);
"""
_MARKS = """
CREATE FUNCTION mark_contact() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM segments WHERE reads_contacts) THEN
        INSERT INTO placement_marks (customer_id) SELECT customer_id FROM changed;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER contacts_insert_marks AFTER INSERT ON contacts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_contact();
CREATE TRIGGER contacts_update_marks AFTER UPDATE ON contacts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_contact();
"""


def upgrade() -> None:
    """Two columns, what they hold of what is there, and two triggers."""
    run_sql(_COLUMNS, SENT, _MARKS)
