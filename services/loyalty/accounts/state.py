"""The hash that compares two systems: over all that the order in which facts came in must not matter to."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import msgspec

from services.loyalty.ledger import reading
from services.loyalty.ledger.domain import Lot
from services.loyalty.ledger.spending import Take, uses
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme, in_force
from services.loyalty.tiers.domain import Ladder
from shared.db import Tx


async def state_hash(tx: Tx, programmes: Programmes, at: datetime) -> str:
    """SHA-256 over awards, lots, what was taken and is owed of them, balances and tiers at an instant, lifetime points,
    and who answers for whom, sorted. An account without lots and takes is as none; holds, which end by themselves, too.
    """
    programme = in_force(await programmes.known(tx), at)
    lots: dict[str, list[tuple[str, Lot]]] = {}
    takes: dict[str, list[Take]] = {}
    for survivor, customer, lot in await reading.every_lot(tx):
        lots.setdefault(survivor, []).append((customer, lot))
    for survivor, take in await reading.every_take(tx):
        takes.setdefault(survivor, []).append(take)
    persons = sorted(lots.keys() | takes.keys())
    state = [_state(one, lots.get(one, ()), takes.get(one, ()), programme, at) for one in persons]
    return sha256(msgspec.json.encode(state)).hexdigest()


def _state(
    survivor: str, lots: Sequence[tuple[str, Lot]], takes: Sequence[Take], programme: Programme | None, at: datetime
) -> tuple[object, ...]:
    used = uses([lot for _, lot in lots], takes, (), at)
    places = dict.fromkeys(("pending", "available", "expired"), 0)
    debt = sum(used.foreign.values()) - sum(used.repaid.values())
    known = []
    for customer, lot in lots:
        award, key = lot.award, lot.award.key
        spent, repaid = used.spent.get(key, 0), used.repaid.get(key, 0)
        places[award.bucket(at)] += max(0, award.points - spent - repaid)
        debt += max(0, spent - award.points)
        # Which versions were known at the time belongs to arrival, as entries do.
        known.append((customer, msgspec.structs.replace(award, judged_with=0), spent, repaid))
    awards = [lot.award for _, lot in lots]
    tier = None
    if programme:
        mine = [award for award in awards if award.currency == programme.currency and award.net_minor]
        tier = Ladder(programme, [(award.occurred_at, award.net_minor, award.points) for award in mine]).at(at)
    taken = sorted((take.take_id, take.kind, take.points, used.foreign[take.take_id]) for take in takes)
    return survivor, known, taken, places, debt, sum(award.points for award in awards), tier
