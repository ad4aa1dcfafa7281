"""Contact persons by company; their addresses go in and come out sealed."""

from collections.abc import Sequence

import msgspec

from services.profile.consents.domain import Consent
from services.profile.contact_persons.domain import ContactPerson
from services.profile.customers.sealing import opened_json, sealed_json
from services.profile.vault.domain import Opener, Sealer
from shared.db import Row, Tx, execute, fetch

_KEPT = """
SELECT p.person_id, p.customer_id, p.name, p.version, p.role, p.main, p.sealed, k.wrapped, k.wrapped_by
FROM contact_persons AS p LEFT JOIN customer_keys AS k USING (customer_id)
"""
_FIND = f"{_KEPT} WHERE p.person_id = :person AND p.customer_id = ANY(:ids)"
_PAGE = f"""
{_KEPT}
WHERE p.customer_id = ANY(:ids) AND (CAST(:after AS text) IS NULL OR person_id > :after)
ORDER BY person_id LIMIT :limit
"""
_PUT = """
INSERT INTO contact_persons (person_id, customer_id, name, version, role, main, sealed)
VALUES (:person_id, :customer_id, :name, :version, :role, :main, :sealed)
ON CONFLICT (person_id) DO UPDATE SET
    name = excluded.name, version = excluded.version, role = excluded.role, main = excluded.main,
    sealed = excluded.sealed
"""
# The company's file is locked before any of its persons, so that of two who become the main one, one comes second.
_HOLD = "SELECT 1 FROM customers WHERE customer_id = ANY(:ids) ORDER BY customer_id FOR UPDATE"
_DEMOTE = """
UPDATE contact_persons SET main = false, version = version + 1
WHERE customer_id = :customer AND main AND person_id <> :person
"""
_SAY = """
INSERT INTO contact_person_consents
    (person_id, customer_id, channel, purpose, granted, source, wording_version, recorded_at)
VALUES (:person, :customer, :channel, :purpose, :granted, :source, :wording_version, :recorded_at)
"""
_SAID = """
SELECT DISTINCT ON (channel, purpose) channel, purpose, granted, source, wording_version, recorded_at
FROM contact_person_consents WHERE person_id = :person ORDER BY channel, purpose, id DESC
"""
# Of a company that was joined to another the persons come after those of the one that answers for both.
_SPOKESMEN = f"""
SELECT kept.*, ARRAY(
    SELECT ARRAY[channel, CAST(granted AS text)]
    FROM (SELECT DISTINCT ON (c.channel) c.channel, c.granted FROM contact_person_consents AS c
          WHERE c.person_id = kept.person_id AND c.purpose = :purpose ORDER BY c.channel, c.id DESC) AS newest
) AS said
FROM ({_KEPT} WHERE p.customer_id = ANY(:ids)) AS kept ORDER BY kept.main DESC, kept.person_id
"""
_DELETE = "DELETE FROM contact_persons WHERE person_id = :person"


async def find(
    tx: Tx, opener: Opener, ids: Sequence[str], person: str, *, lock: bool = False
) -> ContactPerson | None:
    """A person of one of these companies, locked until the transaction ends if asked for."""
    rows = await fetch(tx, f"{_FIND} FOR UPDATE OF p" if lock else _FIND, ids=list(ids), person=person)
    return _person(rows[0], opener) if rows else None


async def page(tx: Tx, opener: Opener, ids: Sequence[str], after: str | None, limit: int) -> list[ContactPerson]:
    """The persons of a company, in the order of their ids."""
    return [_person(row, opener) for row in await fetch(tx, _PAGE, ids=list(ids), after=after, limit=limit)]


async def put(tx: Tx, person: ContactPerson, sealer: Sealer) -> None:
    """Writes a person who is new or locked, his addresses under the company's key."""
    row = msgspec.structs.asdict(person)
    points = row.pop("contact_points")
    await execute(tx, _PUT, **row, sealed=sealed_json(points, sealer, _field(person.person_id)))


async def hold(tx: Tx, ids: Sequence[str]) -> None:
    """Locks the files of these companies."""
    await execute(tx, _HOLD, ids=list(ids))


async def demote(tx: Tx, person: ContactPerson) -> None:
    """Nobody but this person is the main one of his company."""
    await execute(tx, _DEMOTE, customer=person.customer_id, person=person.person_id)


async def say(tx: Tx, person: ContactPerson, consent: Consent) -> None:
    """Adds an entry to the ledger of a person."""
    said = msgspec.structs.asdict(consent)
    await execute(tx, _SAY, person=person.person_id, customer=person.customer_id, **said)


async def said(tx: Tx, person: str) -> list[Consent]:
    """The newest entry of each channel and purpose."""
    return [msgspec.convert(dict(row), Consent) for row in await fetch(tx, _SAID, person=person)]


async def spokesmen(
    tx: Tx, opener: Opener, ids: Sequence[str], purpose: str
) -> list[tuple[ContactPerson, dict[str, bool]]]:
    """The persons of these companies, main ones first, each with what he last said of a purpose by channel."""
    return [
        (_person(row, opener), {channel: granted == "true" for channel, granted in row["said"]})
        for row in await fetch(tx, _SPOKESMEN, ids=list(ids), purpose=purpose)
    ]


async def delete(tx: Tx, person: str) -> None:
    """Removes a person."""
    await execute(tx, _DELETE, person=person)


def _person(row: Row, opener: Opener) -> ContactPerson:
    sealer = opener(row["customer_id"], row["wrapped"], row["wrapped_by"])
    return ContactPerson(
        person_id=row["person_id"],
        customer_id=row["customer_id"],
        name=row["name"],
        version=row["version"],
        role=row["role"],
        main=row["main"],
        contact_points=opened_json(row["sealed"], sealer, _field(row["person_id"])),
    )


def _field(person: str) -> str:
    return f"contact_persons/{person}"
