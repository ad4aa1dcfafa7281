"""Addresses sealed under a key of each customer; restricted files; who read what."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

from services.profile.customers.contact_points import ContactPoint
from services.profile.customers.sealing import sealed_json, sealed_parts, sealed_points
from services.profile.identifiers.domain import sealed
from services.profile.vault.domain import INDEX, Index, Keyring, Sealer, customer_owner
from shared.migrations import role, run_sql, secret

revision = "0006"
down_revision = "0005"

_KEYS = """
CREATE TABLE customer_keys (
    customer_id text PRIMARY KEY REFERENCES customers ON DELETE CASCADE,
    wrapped bytea NOT NULL,
    wrapped_by text NOT NULL
);
CREATE TABLE index_keys (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    wrapped bytea NOT NULL,
    wrapped_by text NOT NULL
);
ALTER TABLE contact_points ADD COLUMN sealed bytea, ADD COLUMN digest bytea;
ALTER TABLE file_fields ADD COLUMN sealed bytea, ALTER COLUMN value DROP NOT NULL;
ALTER TABLE identifiers ADD COLUMN sealed bytea, ADD COLUMN digest bytea;
ALTER TABLE contact_persons ADD COLUMN sealed bytea;
"""
# The last column's type is set to what it is: a dropped column and the old versions of updated rows stay in the table's
# file until it is written anew.
_SEALED_ALONE = """
ALTER TABLE contact_points DROP COLUMN value,
    ALTER COLUMN digest SET NOT NULL, ALTER COLUMN sealed SET NOT NULL,
    ALTER COLUMN sealed TYPE bytea USING sealed || '';
ALTER TABLE identifiers DROP COLUMN value,
    ALTER COLUMN digest SET NOT NULL, ALTER COLUMN sealed SET NOT NULL,
    ALTER COLUMN sealed TYPE bytea USING sealed || '';
ALTER TABLE contact_persons DROP COLUMN contact_points,
    ALTER COLUMN sealed SET NOT NULL, ALTER COLUMN sealed TYPE bytea USING sealed || '';
ALTER TABLE file_fields ADD CHECK (num_nonnulls(value, sealed) = 1), ALTER COLUMN sealed TYPE bytea USING sealed || '';
CREATE INDEX contact_points_digest ON contact_points (kind, digest);
CREATE UNIQUE INDEX identifiers_digest ON identifiers (kind, digest);
"""
# Who is restricted under one of his ids is restricted whole.
_RESTRICTIONS = """
ALTER TABLE customers ADD COLUMN restricted boolean NOT NULL DEFAULT false;
CREATE INDEX customers_restricted ON customers (customer_id) WHERE restricted;
CREATE TABLE restrictions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customers ON DELETE CASCADE,
    reason text NOT NULL,
    restricted_by text NOT NULL,
    restricted_at timestamptz NOT NULL,
    lifted_by text,
    lifted_at timestamptz
);
CREATE UNIQUE INDEX restrictions_standing ON restrictions (customer_id) WHERE lifted_at IS NULL;
CREATE INDEX restrictions_of ON restrictions (customer_id, id);
CREATE VIEW restricted_persons AS
SELECT coalesce(s.survivor_id, c.customer_id) AS customer_id
FROM customers AS c LEFT JOIN survivors AS s USING (customer_id) WHERE c.restricted;
"""
# A read is a line, and a line for each customer whose data it showed: named by the keyed hash that stays of an erased
# id, too, so that nothing here is ever to be changed.
_ACCESSES = """
CREATE TABLE accesses (
    access_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    subject text NOT NULL,
    scope text NOT NULL,
    route text NOT NULL,
    purpose text,
    request_id text NOT NULL
);
CREATE TABLE accessed_customers (
    customer bytea NOT NULL,
    access_id bigint NOT NULL,
    PRIMARY KEY (customer, access_id)
);
CREATE FUNCTION accesses_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the record of who read what is append-only';
END $$;
CREATE TRIGGER accesses_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON accesses
    FOR EACH STATEMENT EXECUTE FUNCTION accesses_are_append_only();
CREATE TRIGGER accessed_customers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON accessed_customers
    FOR EACH STATEMENT EXECUTE FUNCTION accesses_are_append_only();
"""
_ADDRESSES = "starts_with(field, 'contact_points.') AND value <> '[]'"
_OWNERS = f"""
SELECT customer_id FROM contact_points UNION SELECT customer_id FROM identifiers
UNION SELECT customer_id FROM contact_persons UNION SELECT customer_id FROM file_fields WHERE {_ADDRESSES} ORDER BY 1
"""
_AT_ONCE = 1000
Sealing = Callable[[Any, Sealer, Index], tuple[bytes, bytes]]


def upgrade() -> None:
    """Tables and columns. What stands in the clear is sealed; the master key is needed where there is any."""
    run_sql(_KEYS)
    if owners := list(op.get_bind().execute(sa.text(_OWNERS)).scalars()):
        _seal(owners)
    closed = f'REVOKE UPDATE, DELETE, TRUNCATE ON accesses, accessed_customers FROM "{role()}"'
    run_sql(_SEALED_ALONE, _RESTRICTIONS, _ACCESSES, closed)


def _seal(owners: Sequence[str]) -> None:
    keyring = Keyring([secret("master_key")], os.urandom)
    kept, _ = keyring.new(INDEX)
    _run("INSERT INTO index_keys (wrapped, wrapped_by) VALUES (:key, :by)", key=kept.wrapped, by=kept.wrapped_by)
    index = keyring.index(kept)
    for start in range(0, len(owners), _AT_ONCE):
        made = {who: keyring.new(customer_owner(who)) for who in owners[start : start + _AT_ONCE]}
        _run(
            "INSERT INTO customer_keys (customer_id, wrapped, wrapped_by)"
            " SELECT * FROM unnest(CAST(:who AS text[]), CAST(:keys AS bytea[]), CAST(:by AS text[]))",
            who=list(made), keys=[key.wrapped for key, _ in made.values()], by=[kept.wrapped_by] * len(made),
        )  # fmt: skip
        sealers = {who: sealer for who, (_, sealer) in made.items()}
        for table, columns, of_a_row in _TABLES:
            _seal_table(table, columns, of_a_row, sealers, index)


def _seal_table(table: str, columns: str, of_a_row: Sealing, sealers: dict[str, Sealer], index: Index) -> None:
    which = f" AND {_ADDRESSES}" if table == "file_fields" else ""
    rows = op.get_bind().execute(
        sa.text(f"SELECT CAST(ctid AS text) AS place, {columns} FROM {table} WHERE customer_id = ANY(:who){which}"),
        {"who": list(sealers)},
    )
    places, secrets, digests = [], [], []
    for row in rows.all():
        one, digest = of_a_row(row, sealers[row.customer_id], index)
        places.append(row.place)
        secrets.append(one)
        digests.append(digest)
    also = {"file_fields": ", value = NULL", "contact_persons": ""}.get(table, ", digest = new.digest")
    _run(
        f"UPDATE {table} AS t SET sealed = new.sealed{also}"
        " FROM unnest(CAST(:places AS text[]), CAST(:sealed AS bytea[]), CAST(:digests AS bytea[]))"
        " AS new (place, sealed, digest) WHERE t.ctid = CAST(new.place AS tid)",
        places=places, sealed=secrets, digests=digests,
    )  # fmt: skip


def _point(row: Any, sealer: Sealer, index: Index) -> tuple[bytes, bytes]:
    [one] = sealed_points([ContactPoint(row.kind, row.value, row.verified)], sealer, index)
    return one.sealed, one.digest


def _identifier(row: Any, sealer: Sealer, index: Index) -> tuple[bytes, bytes]:
    return sealed(row.kind, row.value, sealer), index.digest(row.kind, row.value)


def _person(row: Any, sealer: Sealer, index: Index) -> tuple[bytes, bytes]:
    points = msgspec.json.decode(row.points, type=tuple[ContactPoint, ...])
    return sealed_json(points, sealer, f"contact_persons/{row.person_id}"), b""


def _said(row: Any, sealer: Sealer, index: Index) -> tuple[bytes, bytes]:
    [one] = sealed_parts({row.field: msgspec.json.decode(row.said)}, sealer)
    return one.sealed or b"", b""


_TABLES: Sequence[tuple[str, str, Sealing]] = [
    ("contact_points", "customer_id, kind, value, verified", _point),
    ("identifiers", "customer_id, kind, value", _identifier),
    ("contact_persons", "customer_id, person_id, CAST(contact_points AS text) AS points", _person),
    ("file_fields", "customer_id, field, CAST(value AS text) AS said", _said),
]


def _run(sql: str, **parameters: object) -> None:
    op.get_bind().execute(sa.text(sql), parameters)
