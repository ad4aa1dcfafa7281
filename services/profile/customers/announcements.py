"""The events of the customer file: the fields that identify nobody, and no others."""

from datetime import datetime
from operator import attrgetter
from typing import Any

from services.profile.customers.domain import PUBLISHABLE, CustomerFile
from services.profile.customers.quality import Day, verify_by
from shared.contracts.customers import CustomerChanged, CustomerRegistered
from shared.contracts.types import Cause
from shared.messaging.outbox import UNNUMBERED

_publishable = attrgetter(*PUBLISHABLE)


def registration(file: CustomerFile, cause: Cause, day: Day) -> CustomerRegistered:
    """The event that a file was made."""
    return CustomerRegistered(
        customer_id=file.customer_id,
        sequence=UNNUMBERED,
        caused_by=cause,
        occurred_at=file.created_at,
        **_published(file, day),
    )


def change(before: CustomerFile, after: CustomerFile, cause: Cause, day: Day, at: datetime) -> CustomerChanged | None:
    """The event of a change made ``at``, None where nothing changed that may be published.

    Saying again what stands changes the day to verify it by, and no version.
    """
    fields = _published(after, day)
    if fields == _published(before, day):
        return None
    return CustomerChanged(
        customer_id=after.customer_id,
        sequence=UNNUMBERED,
        caused_by=cause,
        occurred_at=at,
        **fields,
    )


def _published(file: CustomerFile, day: Day) -> dict[str, Any]:
    fields = dict(zip(PUBLISHABLE, _publishable(file), strict=True))
    fields["verify_by"] = verify_by(file, day)
    return fields
