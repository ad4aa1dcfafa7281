"""Erasures, who has answered them, and the keyed hashes of erased ids."""

import msgspec
import sqlalchemy as sa
from alembic import op

from shared.messaging.erased import FOR_EVER
from shared.messaging.erasures import ERASURES_V1
from shared.migrations import role, run_sql

revision = "0007"
down_revision = "0006"

_TABLES = """
-- Ids, reason and who asked stand here until everybody has answered, and go with the last answer.
CREATE TABLE erasures (
    erasure_id text PRIMARY KEY,
    customer_ids text[] NOT NULL,
    digests bytea[] NOT NULL,
    reason text,
    requested_by text,
    entered_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    deadline_at timestamptz NOT NULL,
    policy_version integer NOT NULL,
    alarmed_at timestamptz,
    completed_at timestamptz,
    receipt text
);
CREATE INDEX erasures_open ON erasures (deadline_at, erasure_id) WHERE completed_at IS NULL;
CREATE INDEX erasures_newest ON erasures (requested_at DESC, erasure_id DESC);
CREATE TABLE erasure_acknowledgements (
    erasure_id text NOT NULL,
    service text NOT NULL,
    applied_at timestamptz NOT NULL,
    counts jsonb NOT NULL,
    PRIMARY KEY (erasure_id, service)
);
-- The audit of the one exception to the ledger of consents.
CREATE TABLE erased_consents (
    erasure_id text NOT NULL,
    entries bigint NOT NULL,
    erased_at timestamptz NOT NULL
);
"""
# The ledger stays append-only but for the entries of an open erasure's ids, and to one function alone, which leaves a
# line behind. The service's role has no DELETE of its own.
_CONSENTS = """
CREATE OR REPLACE FUNCTION consents_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (SELECT 1 FROM erasures WHERE completed_at IS NULL
                                    AND erasure_id = current_setting('roost.erasing', true)) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the ledger of consents is append-only';
END $$;
CREATE FUNCTION consents_of_the_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM erasures WHERE erasure_id = current_setting('roost.erasing', true)
               AND OLD.customer_id = ANY(customer_ids)) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the ledger of consents is append-only';
END $$;
CREATE TRIGGER consents_of_the_erased BEFORE DELETE ON consents
    FOR EACH ROW EXECUTE FUNCTION consents_of_the_erased();
CREATE FUNCTION erase_consents(erasure text, at timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone bigint;
BEGIN
    PERFORM set_config('roost.erasing', erasure, true);
    DELETE FROM consents USING erasures
    WHERE erasures.erasure_id = erasure AND consents.customer_id = ANY(erasures.customer_ids);
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM set_config('roost.erasing', '', true);
    INSERT INTO erased_consents VALUES (erasure, gone, at);
    RETURN gone;
END $$;
"""
_POLICY = {"deadline_days": 15}


def upgrade() -> None:
    """Tables, the narrow way through the ledger of consents, and the deadline of a person's right."""
    name = role()
    run_sql(ERASURES_V1, _TABLES, _CONSENTS, FOR_EVER.format(name))
    run_sql(f'REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON erased_consents FROM "{name}"')
    seed = sa.text("INSERT INTO policies (name, version, body) VALUES ('erasure', 1, CAST(:body AS jsonb))")
    op.get_bind().execute(seed, {"body": msgspec.json.encode(_POLICY).decode()})
