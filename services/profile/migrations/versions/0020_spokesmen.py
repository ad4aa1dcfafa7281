"""Which of a company's persons is meant where nobody says, and what each of them agrees to."""

from shared.migrations import role, run_sql

revision = "0020"
down_revision = "0019"

_PERSONS = """
ALTER TABLE contact_persons ADD COLUMN main boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX contact_persons_main ON contact_persons (customer_id) WHERE main;
CREATE TABLE contact_person_consents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id text NOT NULL,
    customer_id text NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,
    granted boolean NOT NULL,
    source text NOT NULL,
    wording_version text NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX contact_person_consents_newest
    ON contact_person_consents (person_id, purpose, channel, id DESC) INCLUDE (granted);
CREATE INDEX contact_person_consents_customer ON contact_person_consents (customer_id);
"""


def upgrade() -> None:
    """A column, and a ledger that takes new entries and the erasure of a company alone."""
    run_sql(_PERSONS, f'REVOKE UPDATE, TRUNCATE ON contact_person_consents FROM "{role()}"')
