"""May this customer be written to over this channel for this purpose, and where?"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Literal

import msgspec

from services.profile.consents.domain import allowed, covered, holding
from services.profile.contact_persons.application import spokesmen
from services.profile.contact_persons.domain import ContactPerson
from services.profile.customers.contact_points import ContactKind
from services.profile.customers.sealing import opened_address
from services.profile.identities.application import persons
from services.profile.identities.domain import Person
from services.profile.policies.application import in_force
from services.profile.reachability import store
from services.profile.vault.domain import Opener
from shared.contracts.customers import ContactChannel, Purpose
from shared.db import Row, Tx

_ADDRESS_OF: dict[str, ContactKind] = {
    "email": "email",
    "sms": "phone",
    "phone": "phone",
    "messaging": "messaging",
    "post": "post",
    "staff": "phone",
}


WhyNot = Literal["unknown", "restricted", "no-consent", "no-address"]


class Reachable(msgspec.Struct, frozen=True):
    """The answer for one customer and channel. Nobody unknown consents to anything. ``why_not``: he isn't to be
    written to. ``person_id``: whose address and name they are, where a person speaks for a company."""

    customer_id: str
    channel: ContactChannel
    address: str | None
    consent: bool
    locale: str | None
    time_zone: str | None
    name: str | None
    why_not: WhyNot | None
    person_id: str | None = None


class Said(msgspec.Struct, frozen=True):
    """The last word under one id."""

    granted: bool
    recorded_at: datetime


async def reach(
    tx: Tx, opener: Opener, purpose: Purpose, items: Sequence[tuple[str, ContactChannel]]
) -> list[Reachable]:
    """Address and consent of each (customer_id, channel), in the order asked: one read over them all.

    Of somebody who has several ids the survivor's file speaks; an address that it lacks is another's. Who agreed under
    one of them before they were one did so for the addresses of that file, and has not for any other.
    """
    by_default = (await in_force(tx)).consent.granted_by_default
    known = await persons(tx, [customer for customer, _ in items])
    wanted = [
        (place, one, channel) for place, (who, channel) in enumerate(items) for one in known[who].survivor_first
    ]
    rows = await store.reach(
        tx,
        purpose,
        [one for _, one, _ in wanted],
        [channel for _, _, channel in wanted],
        [_ADDRESS_OF[channel] for _, _, channel in wanted],
    )
    of_item = groupby(zip(wanted, rows, strict=True), key=lambda pair: pair[0][0])
    found = [[row for _, row in pairs] for _, pairs in of_item]
    companies = sorted({row["customer_id"] for row in rows if row["kind"] == "company"})
    speaking = await spokesmen(tx, opener, companies, purpose) if companies else {}
    return [
        _reachable(
            known[customer],
            channel,
            mine,
            purpose,
            by_default,
            opener,
            [spokesman for one in known[customer].survivor_first for spokesman in speaking.get(one, ())],
        )
        for (customer, channel), mine in zip(items, found, strict=True)
    ]


def _reachable(
    person: Person,
    channel: ContactChannel,
    rows: Sequence[Row],
    purpose: Purpose,
    by_default: tuple[str, ...],
    opener: Opener,
    speaking: Sequence[tuple[ContactPerson, Mapping[str, bool]]],
) -> Reachable:
    """``rows``: what is known under each of his ids, the survivor's first. ``speaking``: of a company, who speaks for
    it: the first who can be reached and agrees himself, unless the company refuses. An address of somebody who refuses
    isn't used as the company's either."""
    if any(row["restricted"] for row in rows):
        return Reachable(person.asked, channel, None, False, None, None, None, "restricted")
    last = {row["customer_id"]: Said(row["granted"], row["recorded_at"]) for row in rows if row["granted"] is not None}
    held = holding(person, last)
    first = rows[0]
    refused: set[str] = set()
    for one, said in speaking if held is None or held.granted else ():
        his = [point.value for point in one.contact_points if point.kind == _ADDRESS_OF[channel]]
        if his and allowed(said.get(channel), purpose, reachable=True, by_default=by_default):
            return Reachable(
                person.asked, channel, his[0], True, first["locale"], first["time_zone"], one.name, None, one.person_id
            )
        if said.get(channel) is False:
            refused.update(his)
    with_address = [row for row in rows if row["address"] is not None]
    usable = covered(person, last, purpose, by_default) if held and held.granted else person.ids
    addresses = (_address(row, channel, opener) for row in with_address if row["customer_id"] in usable)
    address = next((one for one in addresses if one not in refused), None)
    known = first["restricted"] is not None
    consent = allowed(held.granted if held else None, purpose, reachable=address is not None, by_default=by_default)
    if with_address and address is None:
        consent = False
    why_not: WhyNot | None = None
    if address is None or not consent:
        why_not = "unknown" if not known else "no-consent" if with_address else "no-address"
    return Reachable(
        person.asked, channel, address, consent, first["locale"], first["time_zone"], first["name"], why_not
    )


def _address(row: Row, channel: ContactChannel, opener: Opener) -> str:
    sealer = opener(row["customer_id"], row["wrapped"], row["wrapped_by"])
    return opened_address(_ADDRESS_OF[channel], row["address"], sealer)
