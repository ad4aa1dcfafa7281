"""The files, their history and their addresses; addresses go in and come out sealed."""

import sys
from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import msgspec

from services.profile.customers.contact_points import ContactPoint
from services.profile.customers.domain import EDITABLE, OF_THE_ROW, CustomerFile, Role, Said
from services.profile.customers.sealing import SealedPart, SealedPoint, opened_address, opened_part
from services.profile.vault.domain import Opener, Sealer
from shared.db import Row, Tx, columns, execute, fetch

_MEET = """
INSERT INTO customers (customer_id, bare, created_at, updated_at)
SELECT customer_id, true, :now, :now FROM unnest(CAST(:customers AS text[])) AS new (customer_id)
ORDER BY customer_id
ON CONFLICT DO NOTHING
RETURNING customer_id
"""
FILE = """
       c.customer_id, created_at, updated_at, version, bare, restricted, kind, name, locale, time_zone, tags, owner,
       tenure_start,
       preferred_channel, preferred_hours, preferred_every_days, interests, price_sensitivity,
       industry, occupation, company_size, business_model, special_needs, CAST(anniversaries AS text) AS anniversaries,
       CAST(birthday AS text) AS birthday, CAST(wallet_estimate AS text) AS wallet_estimate,
       CAST(attributes AS text) AS attributes, CAST(team AS text) AS team, CAST(said_at AS text) AS said_at,
       ARRAY(SELECT ROW(p.kind, p.sealed, p.verified) FROM contact_points AS p
             WHERE p.customer_id = c.customer_id ORDER BY p.position) AS contact_points,
       wrapped, wrapped_by
"""
"""What ``file_of`` reads, of ``customers AS c`` and ``customer_keys``."""
_FIND = f"""
SELECT {FILE} FROM customers AS c LEFT JOIN customer_keys USING (customer_id)
WHERE customer_id = ANY(:customers) ORDER BY customer_id
"""
# A statement of its own: what the file is joined with must be read after the wait for whoever holds it.
_LOCK = "SELECT 1 FROM customers WHERE customer_id = :customer FOR UPDATE"
_EXISTS = "SELECT 1 FROM customers WHERE customer_id = :customer"
_INSERT = """
INSERT INTO customers (customer_id, created_at, updated_at, version, bare) VALUES (:customer_id, :now, :now, 1, false)
ON CONFLICT DO NOTHING
"""
_UPDATE = """
UPDATE customers
SET version = :version, bare = :bare, updated_at = :updated_at, kind = :kind, name = :name, locale = :locale,
    time_zone = :time_zone, birthday = CAST(:birthday AS jsonb), tags = :tags, owner = :owner,
    tenure_start = :tenure_start, preferred_channel = :preferred_channel, preferred_hours = :preferred_hours,
    preferred_every_days = :preferred_every_days, interests = :interests, price_sensitivity = :price_sensitivity,
    industry = :industry, occupation = :occupation, company_size = :company_size, business_model = :business_model,
    wallet_estimate = CAST(:wallet_estimate AS jsonb), special_needs = :special_needs,
    anniversaries = CAST(:anniversaries AS jsonb),
    team = CAST(:team AS jsonb), attributes = CAST(:attributes AS jsonb), said_at = CAST(:said_at AS jsonb)
WHERE customer_id = :customer_id
"""
_RESTRICT = "UPDATE customers SET restricted = :restricted, updated_at = :now WHERE customer_id = :customer"
_DROP_POINTS = "DELETE FROM contact_points WHERE customer_id = :customer"
_POINTS = """
INSERT INTO contact_points (customer_id, position, kind, sealed, digest, verified)
SELECT :customer, n, kind, sealed, digest, verified
FROM unnest(CAST(:kinds AS text[]), CAST(:sealed AS bytea[]), CAST(:digests AS bytea[]), CAST(:verified AS boolean[]))
    WITH ORDINALITY AS new (kind, sealed, digest, verified, n)
"""
# The id counts under the lock of the file: among values of one time the highest is the last written.
_KEEP = """
INSERT INTO file_fields (customer_id, field, value, sealed, source, true_at, recorded_at)
SELECT :customer, field, CAST(value AS jsonb), sealed, :source, :true_at, :recorded_at
FROM unnest(CAST(:fields AS text[]), CAST(:contents AS text[]), CAST(:sealed AS bytea[])) AS new (field, value, sealed)
"""
_HISTORY = """
SELECT id, customer_id, field, CAST(value AS text) AS value, sealed, wrapped, wrapped_by, source, true_at, recorded_at,
       NOT EXISTS (SELECT 1 FROM file_fields AS later
                   WHERE later.customer_id = f.customer_id AND later.field = f.field
                     AND (later.true_at, later.id) > (f.true_at, f.id)) AS stands
FROM file_fields AS f LEFT JOIN customer_keys USING (customer_id)
WHERE customer_id = ANY(:customers)
  AND (CAST(:field AS text) IS NULL OR field = :field OR starts_with(field, :field || '.'))
  AND (CAST(:at AS timestamptz) IS NULL OR (true_at, id) < (:at, :id))
ORDER BY true_at DESC, id DESC LIMIT :limit
"""
_OWNED = "SELECT customer_id FROM customers WHERE owner = :staff ORDER BY customer_id LIMIT :limit FOR UPDATE"
_SERVED = """
SELECT customer_id FROM customers WHERE team <> '{}' AND team @> CAST(:team AS jsonb)
ORDER BY customer_id LIMIT :limit FOR UPDATE
"""
_HAND_OVER = """
UPDATE customers AS c
SET owner = coalesce(:owner, owner), team = team || CAST(:team AS jsonb), version = version + 1, updated_at = :now,
    said_at = said_at || jsonb_build_object(CAST(:part AS text), since)
FROM unnest(CAST(:customers AS text[]), CAST(:since AS timestamptz[])) AS new (customer_id, since)
WHERE c.customer_id = new.customer_id
"""
_HANDED_OVER = """
INSERT INTO file_fields (customer_id, field, value, source, true_at, recorded_at)
SELECT customer_id, :part, CAST(:value AS jsonb), :source, since, :now
FROM unnest(CAST(:customers AS text[]), CAST(:since AS timestamptz[])) AS new (customer_id, since)
ORDER BY customer_id
"""
_DECODERS = {
    field.name: msgspec.json.Decoder(field.type)
    for field in msgspec.structs.fields(CustomerFile)
    if field.name in ("birthday", "wallet_estimate", "anniversaries", "attributes", "team", "said_at")
}
_LISTS = ("tags", "interests", "special_needs")
_PLAIN = tuple(
    name for name in CustomerFile.__struct_fields__ if name not in (*_DECODERS, *_LISTS, "contact_points")
)
_plain = itemgetter(*_PLAIN)


async def meet(tx: Tx, customers: Sequence[str], now: datetime) -> list[str]:
    """Makes bare files for those of these customers (sorted) who have none; answers whose."""
    return [row["customer_id"] for row in await fetch(tx, _MEET, customers=customers, now=now)]


async def find(tx: Tx, opener: Opener, customer: str, *, lock: bool = False) -> CustomerFile | None:
    """A customer's file, locked until the transaction ends if asked for."""
    if lock and not await fetch(tx, _LOCK, customer=customer):
        return None
    found = await find_all(tx, opener, [customer])
    return found[0] if found else None


async def find_all(tx: Tx, opener: Opener, customers: Sequence[str]) -> list[CustomerFile]:
    """The files of those of these customers who have one, in the order of their ids. Raises Unreadable."""
    rows = await fetch(tx, _FIND, customers=list(customers))
    return [file_of(row, opener) for row in rows]


def file_of(row: Row, opener: Opener) -> CustomerFile:
    """The file of a row that has, beside others, the columns of ``FILE``. Raises Unreadable."""
    fields: dict[str, Any] = dict(zip(_PLAIN, _plain(row), strict=True))
    # A default is left out of an event where it is the very object.
    fields["kind"] = sys.intern(fields["kind"])
    for name in _LISTS:
        fields[name] = tuple(row[name])
    for name, decoder in _DECODERS.items():
        if (written := row[name]) is not None:
            fields[name] = decoder.decode(written)
    return CustomerFile(**fields, contact_points=_points(row, opener) if row["contact_points"] else ())


async def exists(tx: Tx, customer: str) -> bool:
    """Whether there is a file."""
    return bool(await fetch(tx, _EXISTS, customer=customer))


async def insert(tx: Tx, file: CustomerFile) -> bool:
    """Makes room for a new file, which ``update`` fills; False where there is one already."""
    return bool(await execute(tx, _INSERT, customer_id=file.customer_id, now=file.created_at))


async def update(tx: Tx, file: CustomerFile) -> None:
    """Writes a file that is locked, without its addresses."""
    row: dict[str, Any] = {name: getattr(file, name) for name in (*OF_THE_ROW, *EDITABLE)}
    del row["contact_points"], row["created_at"]
    row |= {
        "tags": list(file.tags),
        "interests": list(file.interests),
        "special_needs": list(file.special_needs),
        "anniversaries": _json(file.anniversaries),
        "birthday": _json(file.birthday) if file.birthday else None,
        "wallet_estimate": _json(file.wallet_estimate) if file.wallet_estimate else None,
        "attributes": _json(file.attributes),
        "team": _json(file.team),
        "said_at": _json(file.said_at),
    }
    await execute(tx, _UPDATE, **row)


async def restrict(tx: Tx, file: CustomerFile) -> None:
    """Writes whether a file that is locked is restricted."""
    await execute(tx, _RESTRICT, customer=file.customer_id, restricted=file.restricted, now=file.updated_at)


async def put_points(tx: Tx, customer: str, points: Sequence[SealedPoint]) -> None:
    """Writes the addresses of a file that is locked in the place of those it has."""
    await execute(tx, _DROP_POINTS, customer=customer)
    if points:
        kinds, sealed, digests, verified = columns([msgspec.structs.astuple(point) for point in points], 4)
        await execute(
            tx, _POINTS, customer=customer, kinds=kinds, sealed=sealed, digests=digests, verified=verified
        )


async def keep(
    tx: Tx, customer: str, parts: Sequence[SealedPart], source: str, true_at: datetime, recorded_at: datetime
) -> None:
    """Adds to the history of a file that is locked."""
    if parts:
        fields, contents, sealed = columns([msgspec.structs.astuple(part) for part in parts], 3)
        await execute(
            tx,
            _KEEP,
            customer=customer,
            fields=fields,
            contents=contents,
            sealed=sealed,
            source=source,
            true_at=true_at,
            recorded_at=recorded_at,
        )


async def history(
    tx: Tx,
    opener: Opener,
    customers: Sequence[str],
    field: str | None,
    *,
    after: tuple[datetime, int] | None,
    limit: int,
) -> list[Said]:
    """The histories of files, newest first by the time it was true. Raises Unreadable."""
    at, number = after or (None, None)
    rows = await fetch(tx, _HISTORY, customers=list(customers), field=field, at=at, id=number, limit=limit)
    return [
        Said(
            row["id"],
            row["customer_id"],
            row["field"],
            msgspec.json.decode(row["value"])
            if row["sealed"] is None
            else opened_part(row["field"], row["sealed"], _sealer(row, opener, row["customer_id"])),
            row["source"],
            row["true_at"],
            row["recorded_at"],
            row["stands"],
        )
        for row in rows
    ]


async def served_by(tx: Tx, role: Role, staff: str, limit: int) -> list[str]:
    """Customers, by id, whose owner or member of the team is this person; their files are locked."""
    if role == "owner":
        rows = await fetch(tx, _OWNED, staff=staff, limit=limit)
    else:
        rows = await fetch(tx, _SERVED, team=_json({role: staff}), limit=limit)
    return [row["customer_id"] for row in rows]


async def hand_over(
    tx: Tx, files: Sequence[CustomerFile], role: Role, part: str, to: str, source: str, now: datetime
) -> None:
    """Writes one part of many files that are locked, and adds it to their histories."""
    customers, since = columns([(file.customer_id, file.said_at[part]) for file in files], 2)
    handed = {"customers": customers, "since": since, "part": part, "now": now}
    team = _json({} if role == "owner" else {role: to})
    await execute(tx, _HAND_OVER, **handed, owner=to if role == "owner" else None, team=team)
    await execute(tx, _HANDED_OVER, **handed, value=_json(to), source=source)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _points(row: Row, opener: Opener) -> tuple[ContactPoint, ...]:
    sealer = _sealer(row, opener, row["customer_id"])
    return tuple(
        ContactPoint(kind, opened_address(kind, sealed, sealer), verified)
        for kind, sealed, verified in row["contact_points"]
    )


def _sealer(row: Row, opener: Opener, customer: str) -> Sealer:
    return opener(customer, row["wrapped"], row["wrapped_by"])
