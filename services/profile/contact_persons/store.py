"""Contact persons by company: with the file the only table of their names, phones and e-mails."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import RowMapping

from services.profile.contact_persons.domain import ContactPerson
from shared.db import Tx, execute, fetch

_COLUMNS = "person_id, customer_id, name, version, role, CAST(contact_points AS text) AS contact_points"
_FIND = f"""
SELECT {_COLUMNS} FROM contact_persons WHERE person_id = :person AND customer_id = ANY(:ids)
"""
_PAGE = f"""
SELECT {_COLUMNS} FROM contact_persons
WHERE customer_id = ANY(:ids) AND (CAST(:after AS text) IS NULL OR person_id > :after)
ORDER BY person_id LIMIT :limit
"""
_PUT = """
INSERT INTO contact_persons (person_id, customer_id, name, version, role, contact_points)
VALUES (:person_id, :customer_id, :name, :version, :role, CAST(:contact_points AS jsonb))
ON CONFLICT (person_id) DO UPDATE SET
    name = excluded.name, version = excluded.version, role = excluded.role, contact_points = excluded.contact_points
"""
_DELETE = "DELETE FROM contact_persons WHERE person_id = :person"


async def find(tx: Tx, ids: Sequence[str], person: str, *, lock: bool = False) -> ContactPerson | None:
    """A person of one of these companies, locked until the transaction ends if asked for."""
    rows = await fetch(tx, _FIND + " FOR UPDATE" if lock else _FIND, ids=list(ids), person=person)
    return _person(rows[0]) if rows else None


async def page(tx: Tx, ids: Sequence[str], after: str | None, limit: int) -> list[ContactPerson]:
    """The persons of a company, in the order of their ids."""
    return [_person(row) for row in await fetch(tx, _PAGE, ids=list(ids), after=after, limit=limit)]


async def put(tx: Tx, person: ContactPerson) -> None:
    """Writes a person who is new or locked."""
    row = msgspec.structs.asdict(person)
    await execute(tx, _PUT, **row | {"contact_points": msgspec.json.encode(person.contact_points).decode()})


async def delete(tx: Tx, person: str) -> None:
    """Removes a person."""
    await execute(tx, _DELETE, person=person)


def _person(row: RowMapping) -> ContactPerson:
    return msgspec.convert({**row, "contact_points": msgspec.json.decode(row["contact_points"])}, ContactPerson)
