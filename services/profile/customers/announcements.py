"""The events of the customer file: the fields that identify nobody, and no others."""

from typing import Any

from services.profile.customers.domain import PUBLISHABLE, CustomerFile
from shared.contracts.customers import CustomerChanged, CustomerRegistered
from shared.contracts.types import Cause
from shared.messaging.outbox import UNNUMBERED


def registration(file: CustomerFile, cause: Cause) -> CustomerRegistered:
    """The event that a file was made."""
    return CustomerRegistered(
        customer_id=file.customer_id,
        sequence=UNNUMBERED,
        caused_by=cause,
        occurred_at=file.created_at,
        **_published(file),
    )


def change(before: CustomerFile, after: CustomerFile, cause: Cause) -> CustomerChanged | None:
    """The event of a change, None where nothing changed that may be published."""
    fields = _published(after)
    if fields == _published(before):
        return None
    return CustomerChanged(
        customer_id=after.customer_id,
        sequence=UNNUMBERED,
        caused_by=cause,
        occurred_at=after.updated_at,
        **fields,
    )


def _published(file: CustomerFile) -> dict[str, Any]:
    return {name: getattr(file, name) for name in PUBLISHABLE}
