"""May this customer be written to over this channel for this purpose, and where?"""

from collections.abc import Sequence

import msgspec

from services.profile.consents.domain import allowed
from services.profile.policies.application import in_force
from services.profile.reachability import store
from shared.contracts.customers import ContactChannel, Purpose
from shared.db import Tx

_ADDRESS_OF: dict[str, str] = {
    "email": "email",
    "sms": "phone",
    "phone": "phone",
    "messaging": "messaging",
    "post": "post",
    "staff": "phone",
}


class Reachable(msgspec.Struct, frozen=True):
    """The answer for one customer and channel. Nobody unknown consents to anything."""

    customer_id: str
    channel: ContactChannel
    address: str | None
    consent: bool
    locale: str | None
    time_zone: str | None
    name: str | None


async def reach(tx: Tx, purpose: Purpose, items: Sequence[tuple[str, ContactChannel]]) -> list[Reachable]:
    """Address and consent of each (customer_id, channel), in the order asked: two statements for them all."""
    by_default = (await in_force(tx)).consent.granted_by_default
    rows = await store.reach(
        tx,
        purpose,
        [customer for customer, _ in items],
        [channel for _, channel in items],
        [_ADDRESS_OF[channel] for _, channel in items],
    )
    return [
        Reachable(
            row["customer_id"],
            row["channel"],
            row["address"],
            allowed(row["granted"], purpose, reachable=row["address"] is not None, by_default=by_default),
            row["locale"],
            row["time_zone"],
            row["name"],
        )
        for row in rows
    ]
