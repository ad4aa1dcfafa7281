"""What is known of customers, for whoever places or explains them."""

from collections.abc import Sequence

import msgspec

from services.profile.purchases.domain import House
from services.profile.segments import store
from services.profile.segments.facts import Known
from services.profile.segments.value import Sign
from shared.db import Tx
from shared.messaging import facts, merges
from shared.messaging.events import Event

ACTIVITY = "activity-recorded"


async def known_of(
    tx: Tx, customers: Sequence[str], groups: merges.Groups, house: House, reads: frozenset[str] = frozenset()
) -> dict[str, Known]:
    """What rules may read of those of these who answer for themselves; a prospect's activity is his whole group's.

    Their contacts and orders are read where a rule in force asks for them, or a fact of ``reads`` is of them.
    """
    alone = [who for who in customers if groups.survivor(who) == who]
    people = await store.known(tx, alone, house, reads)
    prospects = [who for who, person in people.items() if not person.purchases.orders]
    if not prospects:
        return people
    members = {who: groups.members(who) for who in prospects}
    signs = await facts.signs_of(tx, [member for ids in members.values() for member in ids], ACTIVITY)
    for who, ids in members.items():
        if found := [_sign(event, house) for member in ids for event in signs[member]]:
            people[who] = msgspec.structs.replace(people[who], signs=tuple(found))
    return people


def _sign(event: Event, house: House) -> Sign:
    money = event.data.value
    minor = money.minor if money is not None and money.currency == house.currency else 0
    return Sign(house.day(event.data.occurred_at), event.data.kind, minor)
