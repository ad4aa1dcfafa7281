"""Contact persons by company; their addresses go in and come out sealed."""

from collections.abc import Sequence

import msgspec

from services.profile.contact_persons.domain import ContactPerson
from services.profile.customers.sealing import opened_json, sealed_json
from services.profile.vault.domain import Opener, Sealer
from shared.db import Row, Tx, execute, fetch

_KEPT = """
SELECT p.person_id, p.customer_id, p.name, p.version, p.role, p.sealed, k.wrapped, k.wrapped_by
FROM contact_persons AS p LEFT JOIN customer_keys AS k USING (customer_id)
"""
_FIND = f"{_KEPT} WHERE p.person_id = :person AND p.customer_id = ANY(:ids)"
_PAGE = f"""
{_KEPT}
WHERE p.customer_id = ANY(:ids) AND (CAST(:after AS text) IS NULL OR person_id > :after)
ORDER BY person_id LIMIT :limit
"""
_PUT = """
INSERT INTO contact_persons (person_id, customer_id, name, version, role, sealed)
VALUES (:person_id, :customer_id, :name, :version, :role, :sealed)
ON CONFLICT (person_id) DO UPDATE SET
    name = excluded.name, version = excluded.version, role = excluded.role, sealed = excluded.sealed
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
        contact_points=opened_json(row["sealed"], sealer, _field(row["person_id"])),
    )


def _field(person: str) -> str:
    return f"contact_persons/{person}"
