"""The persons of a company: greetings and calls go to one of them."""

import msgspec

from services.profile.customers.contact_points import ContactPoint


class ContactPerson(msgspec.Struct, frozen=True):
    """A person of the company ``customer_id``, and where he can be reached; ``version`` counts his changes. ``main``:
    of those who can be reached and agree he is the one whom greetings and calls go to."""

    person_id: str
    customer_id: str
    name: str
    version: int = 1
    role: str | None = None
    main: bool = False
    contact_points: tuple[ContactPoint, ...] = ()


class NoCompany(Exception):
    """Only a company has contact persons."""

    code = "not-a-company"
